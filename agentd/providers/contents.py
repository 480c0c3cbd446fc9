"""Images and files on their way to a model: their content where it takes them, a line of text in their place where it does not."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping

from agentwire.media import is_text
from agentwire.types import File, Image, ResultPart, Text, ToolResult

SHOWN = "[what the tools above show]"
"""Before images of tools, where the vendor takes none in a result."""


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
    if part.blob not in blobs or not is_text(part.media):
        return None
    return f"[file {part.name}]\n{blobs[part.blob].decode('utf-8', 'replace')}\n[end of {part.name}]"


def instead(part: Image | File) -> str:
    """What a model is told of an input that it cannot take."""
    what = "an image" if isinstance(part, Image) else f"the file {part.name}"
    return f"[{what}, {part.media}, {part.bytes:,} bytes: this model cannot take it. Say so if it matters.]"


def result_text(part: ResultPart) -> str:
    """A part of a tool's result in words; of a long one what its event has, and how to read on."""
    if isinstance(part, Text):
        return part.text
    if isinstance(part, Image):
        return f"[an image, {part.media}, {part.bytes:,} bytes]"
    seen, last = (len(text.encode("utf-8", "surrogatepass")) for text in (part.head, part.tail))
    read_on = f"Read on: output_read, handle {part.blob[:16]}, offset {seen}]"
    if not last:
        return f"{part.head}\n[only {seen:,} of {part.bytes:,} bytes. {read_on}"
    return f"{part.head}\n[{part.bytes - seen - last:,} of {part.bytes:,} bytes are left out here. {read_on}\n{part.tail}"


def images_of(results: Iterable[ToolResult], blobs: Mapping[str, bytes], *, images: bool) -> list[Image]:
    """What tools showed, as far as the model can be shown it."""
    shown = (part for result in results for part in result.parts if isinstance(part, Image))
    return [part for part in shown if usable(part, blobs, images=images, files=False)]
