"""The methods that read and bring what a session holds: its log, its conversation, its blobs."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agentd.core.api import Caller, Handler
from agentd.core.history import added, blobs_of, refuse_misplaced
from agentd.core.live import Live
from agentd.core.once import Once
from agentd.core.sessions import Sessions
from agentd.core.uploads import Uploads
from agentd.ports import Store
from agentwire import events as ev
from agentwire import methods as m
from agentwire.errors import InvalidParams, NotFound

_PIECE = 256 * 1024
_PAGE_BYTES = 2 * 1024 * 1024
"""Bytes of messages in one page: with its longest one it still fits into a frame."""


class ContentMethods:
    def __init__(self, store: Store, sessions: Sessions, once: Once) -> None:
        self._store, self._sessions, self._once = store, sessions, once
        self._uploads = Uploads()
        self.handlers: Mapping[str, Handler] = {
            "event/list": self._events,
            "message/list": self._messages,
            "message/add": self._add,
            "blob/get": self._get_blob,
            "blob/put": self._put_blob,
        }

    async def _events(self, caller: Caller, params: m.ListEvents) -> m.EventPage:
        live = await self._sessions.open(caller.user, params.session)
        stream, limit = live.state.id, params.limit
        if params.before is not None:
            if params.after is not None:
                raise InvalidParams("params: give `after` or `before`, not both")
            found = await self._store.read_back(stream, before=params.before, limit=limit)
            return m.EventPage(events=_page(found), more=bool(found) and found[0].seq > 1)
        found = await self._store.read(stream, after=params.after or 0, limit=limit)
        return m.EventPage(events=_page(found), more=bool(found) and found[-1].seq < live.state.seq)

    # --- messages ----------------------------------------------------------------------------------------------------------

    async def _messages(self, caller: Caller, params: m.ListMessages) -> Any:
        messages = (await self._sessions.open(caller.user, params.session)).state.messages
        page: list[msgspec.Raw] = []
        size = 0
        for message in messages[params.offset : params.offset + params.limit]:
            encoded = msgspec.json.encode({"role": message.role, "parts": message.parts})
            size += len(encoded)
            if page and size > _PAGE_BYTES:
                break
            page.append(msgspec.Raw(encoded))
        return {"messages": page, "total": len(messages)}

    async def _add(self, caller: Caller, params: m.AddMessages) -> Any:
        refuse_misplaced(params.messages)
        live = await self._sessions.open(caller.user, params.session)
        return await self._once.run(caller.user, "message/add", params, lambda: self._append(caller, live, params))

    async def _append(self, caller: Caller, live: Live, params: m.AddMessages) -> m.AddedMessages:
        for blob in sorted(blobs_of(params.messages)):
            if await self._store.get_blob(live.state.id, blob, 0, 0) is None:
                raise NotFound(f"this session has no blob {blob}; put it there first (blob/put)")
        async with self._sessions.at_rest(live):
            key = self._once.key(caller.user, "message/add", params, lambda events: m.AddedMessages(seq=events[-1].seq))
            committed = await self._once.append(live.new(added(params.messages)), key)
        return m.AddedMessages(seq=committed[-1].seq)

    # --- blobs -------------------------------------------------------------------------------------------------------------

    async def _get_blob(self, caller: Caller, params: m.GetBlob) -> m.BlobPiece:
        live = await self._sessions.open(caller.user, params.session)
        found = await self._store.get_blob(live.state.id, params.blob, params.offset, _PIECE)
        if found is None:
            raise NotFound(f"this session has no blob {params.blob}")
        return m.BlobPiece(data=base64.b64encode(found[0]).decode(), bytes=found[1])

    async def _put_blob(self, caller: Caller, params: m.PutBlob) -> m.BlobStored:
        live = await self._sessions.open(caller.user, params.session)
        try:
            data = base64.b64decode(params.data, validate=True)
        except binascii.Error:
            raise InvalidParams("params.data: expected base64") from None
        received, content = self._uploads.take((caller.user, live.state.id, params.blob), params.bytes, params.offset, data)
        if content is not None:
            await self._store.put_blob(live.state.id, content)
            self._sessions.refuse_deleted(live)
        return m.BlobStored(received=received)


def _page(events: Sequence[ev.Event]) -> tuple[msgspec.Raw, ...]:
    """Stored events for a reply, without decoding them."""
    return tuple(msgspec.Raw(ev.encode_event(event)) for event in events)
