"""HTTP/1.1 as a client speaks it, sans-IO: a request -> its head's bytes; a response's bytes in any split -> its head and its body.

Theory of operation: `ResponseReader` is fed what each read brought and gives back the body's bytes in it, all at once: the caller
pays per read. Its state is the method that reads on. Between two chunks stands `CRLF size CRLF`; one expression reads all of it,
and the CRLF that ends the head stands for the one before the first chunk. What can no longer become a response fails when that is
certain, after the body before it was given: the same in any split.

Strict where two readers of the same bytes could disagree about where a message ends (RFC 9112, 6.3 and 11.1): a length beside a
transfer coding, two lengths, any coding but `chunked`, bare line feeds, folded lines. We ask for no compression and take none.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from attrs import frozen

MAX_HEAD: Final = 64 * 1024
"""Bytes of a response's head, together with the interim ones (1xx) before it; and of its trailers."""

Field = tuple[bytes, bytes]
"""A header's name and value."""

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_LENGTH = re.compile(rb"\d{1,18}")
_SIZE = rb"([0-9a-fA-F]{1,15})[ \t]{0,16}(?:;[\t\x20-\x7e\x80-\xff]{0,4096})?"
_CHUNK = re.compile(rb"\r\n%b\r\n" % _SIZE)
_CHUNK_BEGUN = re.compile(rb"(?:\r(?:\n(?:%b\r?)?)?)?" % _SIZE)

_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
"""OpenSSL's X509_V_ERR_: nobody who is trusted vouches for it, or it does so itself."""

_DROPPED = (b"x-stainless-raw-response",)
"""What the SDK's client writes into its requests for itself."""


class HttpError(Exception):
    """The exchange failed; the text says how, of the server as "it"."""


class Unreachable(HttpError):
    """No connection could be made."""


class Slow(Unreachable):
    """Not in time."""


class Absent(Unreachable):
    """Nothing listens there."""


class Untrusted(Unreachable):
    """Its certificate is not one to trust; the text says why. `unknown`: nothing else is wrong with it than who made it."""

    def __init__(self, text: str, *, unknown: bool) -> None:
        super().__init__(text)
        self.unknown = unknown


class Dropped(HttpError):
    """The connection ended before the first byte of an answer."""


class Stale(Dropped):
    """That was one that had been kept: the server may just have closed it, and a new one may do at once."""


def unreachable(error: BaseException) -> Unreachable:
    """What it says of the server that `error` kept a connection from being made."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Untrusted(_small(cause.verify_message.rstrip(".")), unknown=cause.verify_code in _UNKNOWN_AUTHORITY)
        if isinstance(cause, ConnectionRefusedError):
            return Absent(why(error))
    return Unreachable(why(error))


def why(error: BaseException) -> str:
    """The words of the first cause that has any, in the system's errors without their numbers."""
    told = [_words(cause) for cause in causes(error)]
    return next(filter(None, reversed(told)), type(error).__name__)


def causes(error: BaseException) -> Iterator[BaseException]:
    """It and what led to it, back to the first: the libraries wrap what the system said four times over."""
    yield error
    cause = error.__cause__
    while cause is not None:
        if isinstance(cause, BaseExceptionGroup):  # one for each address that was tried
            cause = cause.exceptions[-1]
        yield cause
        cause = cause.__cause__ or cause.__context__


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno and error.strerror and not isinstance(error, ssl.SSLError):
        return _small(os.strerror(error.errno) if error.errno > 0 else error.strerror)  # trio writes the address into its own
    return str(error)


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]


# --- the request ---------------------------------------------------------------------------------------------------------------


def request_head(method: bytes, target: bytes, fields: Iterable[Field]) -> bytes:
    """Everything up to the blank line, which the caller adds. Raises HttpError for what must not go over a wire."""
    if not (_NAME.fullmatch(method) and _TARGET.fullmatch(target)):
        raise HttpError(f"the request's address is not allowed in HTTP: {method!r} {target!r}")
    lines = [b"%b %b HTTP/1.1\r\n" % (method, target)]
    for name, value in fields:
        key = name.lower()
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):  # its value may be a key: not shown
            raise HttpError(f"the request's header {name.decode('latin-1')!r} has characters that are not allowed there")
        if key not in _DROPPED:
            lines.append(b"%b: %b\r\n" % (name, b"identity" if key == b"accept-encoding" else value))
    return b"".join(lines)


# --- the response --------------------------------------------------------------------------------------------------------------


@frozen
class Head:
    """A response's status line and header. `minor`: of the protocol's version, 0 or 1. Names are as they came."""

    minor: int
    status: int
    reason: bytes
    fields: tuple[Field, ...]

    def values(self, name: bytes) -> list[bytes]:
        """The values of all headers of that (lower-case) name."""
        return [value for key, value in self.fields if key.lower() == name]

    def tokens(self, name: bytes) -> list[bytes]:
        """The same, of a header that is a list, in lower case."""
        return [token.strip().lower() for value in self.values(name) for token in value.split(b",")]

    def headers(self) -> dict[str, str]:
        """By lower-case name; several of one name are joined."""
        joined: dict[str, str] = {}
        for name, value in self.fields:
            key, text = name.decode("ascii").lower(), value.decode("latin-1")
            joined[key] = f"{joined[key]}, {text}" if key in joined else text
        return joined


def parse_head(block: bytes) -> Head:
    """`block`: the lines without the blank one. Raises HttpError."""
    first, *lines = block.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise HttpError(f"its answer begins with {first[:80]!r}, which is not HTTP/1.1")
    return Head(int(status[1]), int(status[2]), status[3] or b"", parse_fields(lines))


def parse_fields(lines: Iterable[bytes]) -> tuple[Field, ...]:
    fields = []
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise HttpError(f"its answer has the header line {line[:80]!r}, which is not allowed in HTTP/1.1")
        fields.append((match[1], match[2]))
    return tuple(fields)


class ResponseReader:
    """The response to one request. `feed` it what was received, b"" for the end of the connection.

    `head`: None until it is there. `done`: the response is whole. `failed`: why it never will be. `begun`: something came.
    `reusable`: it is whole by its own framing, nothing came after it, and nobody asked to close.
    """

    __slots__ = (
        "_heads",
        "_held",
        "_keep",
        "_left",
        "_method",
        "_pieces",
        "_read_on",
        "begun",
        "done",
        "failed",
        "head",
        "reusable",
    )

    def __init__(self, method: bytes = b"POST") -> None:
        self.head: Head | None = None
        self.begun = self.done = self.reusable = False
        self.failed: HttpError | None = None
        self._method = method
        self._heads = 0  # bytes of all heads so far
        self._held = b""  # the beginning of a head, of a chunk's line or of the trailers
        self._left = 0  # bytes to come of the body or of the chunk
        self._keep = False
        self._pieces: list[bytes] = []
        self._read_on: Callable[[ResponseReader, bytes], None] = ResponseReader._read_head

    def feed(self, data: bytes) -> bytes:
        """The body's bytes in `data`. Never raises: see `failed`."""
        if self.failed is not None:
            return b""
        if not data:
            self._end()
            return b""
        self.begun = True
        pieces = self._pieces
        try:
            self._read_on(self, data)
        except HttpError as error:
            self.failed = error
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return body

    def _end(self) -> None:
        """The server closed the connection."""
        self.reusable = False
        if self._read_on is ResponseReader._read_all:
            self.done = True
        elif not self.begun:
            self.failed = Dropped("it closed the connection without an answer")
        elif not self.done:
            self.failed = HttpError("it closed the connection in the middle of its answer")

    def _finish(self, rest: bytes) -> None:
        self.done = True
        self.reusable = self._keep and not rest
        self._read_on = ResponseReader._read_surplus

    # --- what reads on ----------------------------------------------------------------------------------------------------------

    def _read_head(self, data: bytes) -> None:
        rest = self._held + data
        while self.head is None:
            self._check_start(rest)
            end = rest.find(b"\r\n\r\n")
            if self._heads + (end if end >= 0 else len(rest) - 3) > MAX_HEAD:
                raise HttpError("the head of its answer is longer than 64 KiB")
            if end < 0:
                self._held = rest
                return
            self._heads += end
            self._take_head(parse_head(rest[:end]))
            rest = rest[end + 4 :]
        if self.done:
            self._finish(rest)
        elif rest:
            self._read_on(self, rest)

    def _check_start(self, data: bytes) -> None:
        """Whoever does not speak HTTP/1.1 at all is found out at once: it may wait for us now."""
        line, feed, _ = data.partition(b"\n")
        if line[:7] != b"HTTP/1."[: len(line)] or (feed and not line.endswith(b"\r")):
            raise HttpError(f"its answer begins with {line[:80]!r}, which is not HTTP/1.1")

    def _take_head(self, head: Head) -> None:
        if head.status == 101:
            raise HttpError("it switches to another protocol, which nobody asked for")
        if head.status < 200:
            return
        self.head = head
        self._held = b""
        codings, lengths = head.tokens(b"transfer-encoding"), head.values(b"content-length")
        said = head.tokens(b"connection")
        self._keep = b"close" not in said and (head.minor == 1 or b"keep-alive" in said)
        if any(coding != b"identity" for coding in head.tokens(b"content-encoding")):
            raise HttpError(f"its answer is encoded as {head.values(b'content-encoding')[0]!r}, which nobody asked for")
        if self._method == b"HEAD" or head.status in (204, 304):
            self._finish(b"")
        elif codings:
            if codings != [b"chunked"] or lengths or head.minor == 0:
                raise HttpError("its answer says in several ways, or in an unknown one, where it ends")
            self._held = b"\r\n"
            self._read_on = ResponseReader._read_chunks
        elif lengths:
            self._count(lengths)
        else:
            self._keep = False
            self._read_on = ResponseReader._read_all

    def _count(self, lengths: list[bytes]) -> None:
        if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
            raise HttpError(f"its answer has the length {b', '.join(lengths)[:80]!r}")
        self._left = int(lengths[0])
        self._read_on = ResponseReader._read_counted
        if not self._left:
            self._finish(b"")

    def _read_counted(self, data: bytes) -> None:
        left = self._left
        self._pieces.append(data[:left])
        self._left = left - len(data)
        if self._left <= 0:
            self._finish(data[left:])

    def _read_all(self, data: bytes) -> None:
        self._pieces.append(data)

    def _read_surplus(self, data: bytes) -> None:
        self.reusable = False

    def _read_chunks(self, data: bytes) -> None:
        pieces, left = self._pieces, self._left
        if left >= len(data) > 0:  # all of it inside one chunk
            pieces.append(data)
            self._left = left - len(data)
            return
        if left:
            pieces.append(data[:left])
            self._left = 0
        elif self._held:
            data = self._held + data
            self._held = b""
        at, size, match_at = left, len(data), _CHUNK.match
        while match := match_at(data, at):
            start = match.end()
            at = start + int(match[1], 16)
            if at == start:
                self._read_on = ResponseReader._read_trailers
                self._read_trailers(data[start:])
                return
            pieces.append(data[start:at])
            if at > size:
                self._left = at - size
                return
        self._held = data[at:]
        if self._held != b"\r\n" and not _CHUNK_BEGUN.fullmatch(self._held):
            raise HttpError(f"its answer has {self._held[:40]!r} where a chunk should begin")

    def _read_trailers(self, data: bytes) -> None:
        """Checked and dropped: nothing that concerns us is ever there."""
        data = self._held + data
        if data.startswith(b"\r\n"):
            self._finish(data[2:])
            return
        end = data.find(b"\r\n\r\n")
        if (end if end >= 0 else len(data) - 3) > MAX_HEAD:
            raise HttpError("the trailers of its answer are longer than 64 KiB")
        self._held = data
        if end >= 0:
            parse_fields(data[:end].split(b"\r\n"))
            self._finish(data[end + 4 :])
