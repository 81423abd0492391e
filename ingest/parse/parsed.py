"""What a parser makes of a file."""

from msgspec import Struct

from rag.base.pages import Pages
from rag.base.types import Scalar


class Parsed(Struct, frozen=True, kw_only=True):
    """Text that can be cut, and what the file says about itself. An empty title: it does not say one."""

    text: str
    format: str
    title: str = ""
    metadata: dict[str, Scalar | tuple[str, ...]] = {}
    pages: Pages = ()
