"""GGUF files for tests: a header as it must be, and no model behind it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

MAGIC = b"GGUF" + struct.pack("<I", 3)


def text(said: str) -> bytes:
    return struct.pack("<Q", len(said.encode())) + said.encode()


def value(said: object) -> bytes:
    """A value behind its type."""
    match said:
        case bool():
            return struct.pack("<I?", 7, said)
        case int():
            return struct.pack("<II", 4, said)
        case float():
            return struct.pack("<If", 6, said)
        case str():
            return struct.pack("<I", 8) + text(said)
        case list():
            items = [value(item) for item in said]
            return struct.pack("<I", 9) + items[0][:4] + struct.pack("<Q", len(items)) + b"".join([item[4:] for item in items])
        case _:
            raise TypeError(said)


def header(pairs: Mapping[str, object]) -> bytes:
    return MAGIC + struct.pack("<QQ", 0, len(pairs)) + b"".join([text(key) + value(said) for key, said in pairs.items()])


def write_model(path: Path, *, name: str = "Test", context: int = 8192) -> None:
    """A file that says of itself what a model does."""
    path.write_bytes(header({"general.architecture": "llama", "general.name": name, "llama.context_length": context}))
