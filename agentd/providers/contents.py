"""Images and files on their way to a model: their content where it takes them, a line of text in their place where it does not."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

from agentwire.types import File, Image


def encoded(part: Image | File, blobs: Mapping[str, bytes]) -> str:
    """The content in base64; empty if it is not among `blobs`."""
    return b64encode(blobs.get(part.blob, b"")).decode("ascii")


def data_url(part: Image | File, blobs: Mapping[str, bytes]) -> str:
    """The content as a `data:` URL (RFC 2397)."""
    return f"data:{part.media};base64,{encoded(part, blobs)}"


def as_text(part: File, blobs: Mapping[str, bytes]) -> str | None:
    """A text file as what it says, between two lines that name it; None for any other file."""
    if not (part.media.startswith("text/") or part.media in _TEXTS):
        return None
    return f"[file {part.name}]\n{blobs.get(part.blob, b'').decode('utf-8', 'replace')}\n[end of {part.name}]"


def instead(part: Image | File) -> str:
    """What a model is told of an input that it cannot take."""
    what = "an image" if isinstance(part, Image) else f"the file {part.name}"
    return f"[{what}, {part.media}, {part.bytes:,} bytes: this model cannot take it. Say so if it matters.]"


_TEXTS = frozenset(("application/json", "application/xml", "application/toml", "application/x-yaml", "application/javascript"))
