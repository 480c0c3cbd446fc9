"""Checksums of what must not change unseen: a disk that flips a bit in a text breaks no structure that SQLite would miss.

An event's sum is over its row *and* what it means: the names of its stream and user, its number there, its body as JSON. So a row
that slid into another stream is as wrong as one with a changed letter, and a row found anywhere in a damaged file proves itself.
"""

from __future__ import annotations

from zlib import crc32

from agentd.store import blob

_BIAS = 2**31
"""SQLite stores a signed number of 32 bits in 4 bytes; an unsigned one would need 6."""
_SIZE = 4


def sum_of(stream: str, user: str, seq: int, at: float, kind: str, version: int, data: bytes) -> int:
    """The sum of an event; `data` is its body as JSON, however it is packed."""
    head = f"{stream}\0{user}\0{seq}\0{float(at)!r}\0{kind}\0{version}"
    return crc32(data, crc32(head.encode())) - _BIAS


def proven(stored: bytes, known: int | None, stream: str, user: str, seq: int, at: float, kind: str, version: int) -> bytes:
    """The body in a row with the sum `known` (None: from before there were any). ValueError: it is not what was written."""
    try:
        body = blob.unpack(stored)
        if known is None or known == sum_of(stream, user, seq, at, kind, version, body):
            return body
    except TypeError:  # a value of another type
        pass
    raise ValueError("it is not what was written")


def sealed(content: bytes, about: str) -> bytes:
    """`content` behind a sum of it and of what it is about."""
    return crc32(content, crc32(about.encode())).to_bytes(_SIZE, "big") + content


def unsealed(stored: bytes, about: str) -> bytes | None:
    """What was `sealed`; None if it is not the same any more."""
    content = stored[_SIZE:]
    return content if sealed(content, about) == stored else None
