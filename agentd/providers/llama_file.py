"""What a GGUF file says of itself at its beginning: the only part of it that the daemon reads.

The format (github.com/ggml-org/ggml, docs/gguf.md), little-endian: "GGUF", version u32, tensors u64, pairs u64, then the pairs: a
key (u64 length, bytes), the value's type u32, the value. A string is like a key; an array is its items' type u32, a u64 count, the
items.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import Any, BinaryIO, Final

from attrs import frozen

_VERSIONS: Final = (2, 3)  # the first had shorter lengths, and was gone within weeks
_STRING, _ARRAY = 8, 9
_NUMBERS: Final = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_MOST_READ = 64 * 1024 * 1024  # bytes; a vocabulary of 250,000 words takes 5 MB
_LONGEST = 64 * 1024  # bytes of a text that is kept
_MOST_PAIRS = 10_000


class NoModel(Exception):
    """The file cannot be used; str() says why, for people."""


@frozen
class ModelFile:
    """`bytes`: the file's size. `name`: what the model calls itself, if it does. `context`: tokens it was made for, or 0."""

    path: str
    bytes: int
    name: str
    context: int


def read_model_file(path: str) -> ModelFile:
    """Raises NoModel if there is none, or it is no GGUF file."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise NoModel(f"{path} is not a file")
        with open(path, "rb") as file:
            name, context = _Header(file, min(_MOST_READ, found.st_size)).read()
    except OSError as error:
        raise NoModel(f"{path}: {error.strerror}") from error
    except (ValueError, struct.error):
        raise NoModel(f"{path} is not a GGUF file, or only the beginning of one") from None
    return ModelFile(path, found.st_size, name, context)


class _Header:
    """Reads at most `left` bytes; every method raises ValueError or struct.error where the file is not as it must be."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file, self._left = file, left

    def read(self) -> tuple[str, int]:
        """The model's name and context."""
        if self._take(4) != b"GGUF" or self._number("<I") not in _VERSIONS:
            raise ValueError
        self._number("<Q")
        pairs = self._number("<Q")
        if pairs > _MOST_PAIRS:
            raise ValueError
        known: dict[str, object] = {}
        for _ in range(pairs):
            key = self._text()
            known[key] = self._value(self._number("<I"))
            if key.endswith(".context_length") and "general.name" in known:
                break  # what follows is mostly the vocabulary, megabytes of it
        architecture, name = known.get("general.architecture"), known.get("general.name", "")
        if not isinstance(architecture, str):
            raise ValueError
        context = known.get(f"{architecture}.context_length", 0)
        return (name if isinstance(name, str) else ""), (context if isinstance(context, int) else 0)

    def _take(self, count: int) -> bytes:
        self._left -= count
        if self._left < 0:
            raise ValueError
        data = self._file.read(count)
        if len(data) < count:
            raise ValueError
        return data

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _text(self) -> str:
        length = self._number("<Q")
        if length > _LONGEST:
            self._skip(length)
            return ""
        return self._take(length).decode("utf-8", "replace")

    def _skip(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError
        self._file.seek(count, os.SEEK_CUR)

    def _value(self, kind: int) -> object:
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            return self._number(_NUMBERS[kind]) if kind in _NUMBERS else self._wrong()
        kind, count = self._number("<I"), self._number("<Q")
        if kind in _NUMBERS:
            self._skip(count * struct.calcsize(_NUMBERS[kind]))
        elif kind == _STRING:
            for _ in range(count):
                self._skip(self._number("<Q"))
        else:
            self._wrong()  # an array of arrays: none was ever written
        return None

    def _wrong(self) -> object:
        raise ValueError
