"""Turns from the texts and images that every API writes in its own way."""

import re
from collections.abc import Sequence

from msgspec.structs import replace

from rag.base.chat import Detail, Image
from rag.base.errors import InvalidInput
from rag.base.types import Speaker, Turn

_DATA_URL = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,")


def image_from(url: str, pointer: str, detail: Detail = "auto") -> Image:
    """The image behind a data URL or an https address. Raises InvalidInput for anything else."""
    data = _DATA_URL.match(url)
    if data:
        return Image(media_type=data[1], data=url[data.end() :], detail=detail)
    if url.startswith("https://"):
        return Image(url=url, detail=detail)
    raise InvalidInput(
        "an image is an https address, or a data URL in base64 of image/png, image/jpeg, image/gif or image/webp",
        pointer=pointer,
    )


def turn_from(role: Speaker, parts: Sequence[str | Image]) -> Turn:
    """A turn of texts and images in their order; an empty line parts texts that follow each other."""
    text = ""
    images: list[Image] = []
    was_text = False
    for part in parts:
        is_text = isinstance(part, str)
        if isinstance(part, str):
            text += ("\n\n" if was_text else "") + part
        else:
            images.append(replace(part, at=len(text)))
        was_text = is_text
    return Turn(role=role, content=text, images=tuple(images))
