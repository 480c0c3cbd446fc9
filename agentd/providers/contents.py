"""Images and files on their way to a model: their content where it takes them, a line of text in their place where it does not."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

from agentwire.types import File, Image


def usable(part: Image | File, blobs: Mapping[str, bytes], *, images: bool, files: bool) -> bool:
    """Whether it can be sent: the model takes such, and its content is there (of a long history, only the newest is)."""
    return part.blob in blobs and (images if isinstance(part, Image) else files)


def encoded(part: Image | File, blobs: Mapping[str, bytes]) -> str:
    """The content in base64. It must be among `blobs`."""
    return b64encode(blobs[part.blob]).decode("ascii")


def data_url(part: Image | File, blobs: Mapping[str, bytes]) -> str:
    """The content as a `data:` URL (RFC 2397)."""
    return f"data:{part.media};base64,{encoded(part, blobs)}"


def as_text(part: File, blobs: Mapping[str, bytes]) -> str | None:
    """A text file as what it says, between two lines that name it; None for any other file, or if its content is not there."""
    if part.blob not in blobs or not (part.media.startswith("text/") or part.media in _TEXTS):
        return None
    return f"[file {part.name}]\n{blobs[part.blob].decode('utf-8', 'replace')}\n[end of {part.name}]"


def instead(part: Image | File) -> str:
    """What a model is told of an input that it cannot take."""
    what = "an image" if isinstance(part, Image) else f"the file {part.name}"
    return f"[{what}, {part.media}, {part.bytes:,} bytes: this model cannot take it. Say so if it matters.]"


_TEXTS = frozenset(("application/json", "application/xml", "application/toml", "application/x-yaml", "application/javascript"))
