"""Blobs on their way in, piece by piece. Nothing is stored until a blob is whole and is what its name says."""

from __future__ import annotations

import hashlib
from typing import Any

import trio
from attrs import define, field

from agentwire.errors import Conflict, InvalidParams, Overloaded

_MOST = 4
"""Uploads at once: each may take 32 MiB of memory."""
_PATIENCE = 60.0
"""Seconds without a piece after which an upload makes room for others."""

Name = tuple[str, str, str]
"""User, session, sha256 in hex."""


@define
class _Upload:
    bytes: int
    moved: float
    content: bytearray = field(factory=bytearray)
    sum: Any = field(factory=hashlib.sha256)  # piece by piece: 32 MiB at once would hold up the loop


class Uploads:
    def __init__(self) -> None:
        self._open: dict[Name, _Upload] = {}

    def take(self, name: Name, size: int, offset: int, data: bytes) -> tuple[int, bytes | None]:
        """Take in a piece: (bytes so far, the content once it is whole). A piece at offset 0 begins anew.

        Error handling: Conflict for a piece that does not follow the last one, InvalidParams for content that is too long or not
        what its name says; the upload is then gone. Overloaded while too many others are under way.
        """
        upload = self._begin(name, size) if offset == 0 else self._open.get(name)
        if upload is None or len(upload.content) != offset or upload.bytes != size:
            raise Conflict("this piece does not follow the last one; begin again at offset 0")
        upload.content += data
        upload.sum.update(data)
        upload.moved = trio.current_time()
        received = len(upload.content)
        if received < size:
            return received, None
        content = bytes(self._open.pop(name).content)
        if received > size:
            raise InvalidParams(f"params.data: {received - size} bytes more than params.bytes said")
        if upload.sum.hexdigest() != name[2]:
            raise InvalidParams("params.blob: the content has another sha256")
        return received, content

    def _begin(self, name: Name, size: int) -> _Upload:
        self._open.pop(name, None)
        now = trio.current_time()
        for other in [other for other, upload in self._open.items() if now - upload.moved > _PATIENCE]:
            del self._open[other]
        if len(self._open) >= _MOST:
            raise Overloaded(f"{_MOST} blobs are being put already; wait for one to be done", retry_after=1.0)
        return self._open.setdefault(name, _Upload(size, now))
