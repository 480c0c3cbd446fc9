"""Lossless LZ4 of what is stored. Event bodies are JSON and begin with `{`, so one marker byte tells the forms apart:

    \\x00          as it is (what does not begin with `{`, or cannot be made shorter)
    \\x01          LZ4 in its own words, its size in four bytes before it
    \\x02 ...      LZ4 with the dictionary of that number (dictionary.py), its size in two bytes before it

Most of an event's body is the same in all events of its kind. With a dictionary a body costs little more than what was said.
"""

from __future__ import annotations

import hashlib

import lz4.block

from agentd.store.dictionary import DICTIONARIES, NEWEST

_MARK = b"\x01"
_SHORT = 1 << 16
"""Bytes from which on a payload's own words are dictionary enough (and its size does not fit two bytes)."""
_THOROUGH = range(400, 4096)
"""Sizes for which LZ4 searches thoroughly: 15 us instead of 4, and a 300-character message takes 50 bytes less. Shorter ones gain
20 bytes, and longer ones would keep the writer waiting."""
_LEVEL = 3


def pack(content: bytes, *, cold: bool = False) -> bytes:
    """`content` as it is stored, at most a byte longer. `cold`: written once, kept for long: 10 us per KiB for a quarter less."""
    if cold or len(content) >= _SHORT:
        packed = _MARK + _compress(content, store_size=True, thorough=cold)
    else:
        packed = bytes((NEWEST,)) + len(content).to_bytes(2, "little")
        packed += _compress(content, store_size=False, thorough=len(content) in _THOROUGH, dict=DICTIONARIES[NEWEST])
    if len(packed) < len(content):
        return packed
    return content if content[:1] == b"{" else b"\x00" + content


def _compress(content: bytes, *, store_size: bool, thorough: bool, **more: bytes) -> bytes:
    mode = {"mode": "high_compression", "compression": _LEVEL} if thorough else {}
    return bytes(lz4.block.compress(content, store_size=store_size, **mode, **more))


def unpack(stored: bytes) -> bytes:
    """What was packed. Raises ValueError if that cannot be told any more."""
    mark = stored[0] if stored else 0x7B
    try:
        if mark in DICTIONARIES:
            size = int.from_bytes(stored[1:3], "little")
            content = bytes(lz4.block.decompress(stored[3:], uncompressed_size=size, dict=DICTIONARIES[mark]))
            if len(content) != size:
                raise ValueError(f"a row of {size} bytes is damaged: {len(content)} are left of it")
            return content
        if mark == _MARK[0]:
            return bytes(lz4.block.decompress(stored[1:]))
    except lz4.block.LZ4BlockError as error:
        raise ValueError(f"a row of {len(stored)} bytes is damaged: {error}") from None
    return stored[1:] if mark == 0 else stored


def address(content: bytes) -> str:
    """The name of a blob: sha256 in hex."""
    return hashlib.sha256(content).hexdigest()
