"""Bytes of a file as text and back, such that what is not changed stays as it was, byte for byte."""

from __future__ import annotations

import codecs
import re

from attrs import frozen

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LOOK = 8192  # bytes in which a NUL says that a file is not text, as git and ripgrep do it
_UNSHOWN = re.compile("[\x00\ud800-\udfff]")


@frozen
class Content:
    """A text file: its text without the byte order mark, and what turns it into the file's bytes again."""

    text: str
    encoding: str = "utf-8"
    mark: bytes = b""

    def encoded(self, text: str) -> bytes:
        """Another text as this file would have it. Raises UnicodeEncodeError for half characters that it does not have."""
        return self.mark + text.encode(self.encoding, _errors(self.encoding))


def encoding_of(head: bytes) -> tuple[str, bytes]:
    """The encoding and the byte order mark of a file that begins with `head`; without a mark it is UTF-8."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, mark
    return "utf-8", b""


def is_binary(head: bytes) -> bool:
    return not encoding_of(head)[1] and b"\0" in head[:_LOOK]


def decode(content: bytes) -> Content | None:
    """None if it is not text. Bytes that are not UTF-8 become lone surrogates, which go back as they were."""
    if is_binary(content):
        return None
    encoding, mark = encoding_of(content)
    try:
        return Content(content[len(mark) :].decode(encoding, _errors(encoding)), encoding, mark)
    except UnicodeDecodeError:
        return None


def _errors(encoding: str) -> str:
    return "surrogateescape" if encoding == "utf-8" else "surrogatepass"


def shown(text: str) -> str:
    """For the model: what no text can have is replaced."""
    return _UNSHOWN.sub("\ufffd", text)
