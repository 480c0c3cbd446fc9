"""The contents of images and files that a conversation refers to, as a model request needs them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from agentd.ports import Message, Store, attached_to
from agentwire.errors import InvalidParams
from agentwire.media import ACCEPTED, IMAGES, PDF, is_text
from agentwire.types import File, Image, InputPart

MOST: Final = 24 * 1024 * 1024
"""Bytes of all contents of one request: no vendor takes more than 32 MB, and base64 makes a third more of it. The newest count."""
_KEPT: Final = 64 * 1024 * 1024
"""Bytes kept of all sessions: each step of a turn sends them again."""
_PIECE: Final = 256 * 1024
_NAME: Final = 255  # characters


class Attachments:
    """Reads from the store, and keeps what was used last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._size = 0

    async def of(self, session: str, messages: Sequence[Message]) -> Mapping[str, bytes]:
        """The contents by sha256. What is beyond MOST, or not there any more, is left out: the model is told of it instead."""
        found: dict[str, bytes] = {}
        room = MOST
        for message in reversed([message for message in messages if attached_to(message)]):
            for part in reversed(message.attached):
                if part.blob not in found and part.bytes <= room and (content := await self._content(session, part)) is not None:
                    room -= len(content)
                    found[part.blob] = content
        return found

    async def refuse_unusable(self, session: str, parts: Sequence[InputPart]) -> None:
        """Error handling: InvalidParams for an image or file that no model could be shown, or that the session does not have."""
        for index, part in enumerate(parts):
            if isinstance(part, Image | File):
                where = f"params.parts[{index}]"
                if isinstance(part, Image) and part.media not in IMAGES:
                    raise InvalidParams(f"{where}.media: expected one of {', '.join(sorted(IMAGES))}, got {part.media[:60]!r}")
                if isinstance(part, File) and part.media != PDF and not is_text(part.media):
                    raise InvalidParams(f"{where}.media: expected that of {ACCEPTED}, got {part.media[:60]!r}")
                if isinstance(part, File) and not (0 < len(part.name) <= _NAME and part.name.isprintable()):
                    raise InvalidParams(f"{where}.name: expected a name of at most {_NAME} printable characters")
                there = await self._store.get_blob(session, part.blob, 0, 0)
                if there is None:
                    raise InvalidParams(f"{where}.blob: this session has no blob {part.blob[:70]}; put it there first (blob/put)")
                if there[1] != part.bytes:
                    raise InvalidParams(f"{where}.bytes: the blob has {there[1]}")

    async def _content(self, session: str, part: Image | File) -> bytes | None:
        name = (session, part.blob)
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        content = bytearray()
        while len(content) < part.bytes:
            piece = await self._store.get_blob(session, part.blob, len(content), _PIECE)
            if piece is None or not piece[0]:
                return None
            content += piece[0]
        self._keep(name, bytes(content))
        return bytes(content)

    def _keep(self, name: tuple[str, str], content: bytes) -> None:
        self._kept[name] = content
        self._size += len(content)
        while self._size > _KEPT:
            self._size -= len(self._kept.popitem(last=False)[1])
