"""Lossless LZ4 of cold payloads. Event bodies are JSON and begin with `{`, so one marker byte tells the two forms apart."""

from __future__ import annotations

import hashlib

import lz4.block

_MARK = b"\x01"
_WORTH = 512
"""Bytes below which a payload is stored as it is: LZ4 finds little to repeat in a short message."""


def pack(content: bytes) -> bytes:
    """`content` as it is stored: compressed if that saves at least an eighth, else plain behind no mark (or a zero byte)."""
    if len(content) >= _WORTH:
        packed = _MARK + bytes(lz4.block.compress(content, store_size=True))
        if len(packed) < len(content) * 7 // 8:
            return packed
    return content if content[:1] == b"{" else b"\x00" + content


def unpack(stored: bytes) -> bytes:
    mark = stored[:1]
    if mark == _MARK:
        return bytes(lz4.block.decompress(stored[1:]))
    return stored[1:] if mark == b"\x00" else stored


def address(content: bytes) -> str:
    """The name of a blob: sha256 in hex."""
    return hashlib.sha256(content).hexdigest()
