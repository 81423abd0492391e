"""What lets requests in."""

from typing import NamedTuple

from rag.govern.accounts import AccountBook
from rag.govern.admission import Admission
from rag.govern.meters import Meters


class Guards(NamedTuple):
    """Who may do what, how often, and whether there is room."""

    book: AccountBook
    meters: Meters
    admission: Admission
