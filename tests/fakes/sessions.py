"""The daemon's methods about sessions as things, in memory: settings, messages, blobs, forks, clean-up.

Params and results are held to the table of methods, so that a client cannot pass here and fail there.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, evolve, field

from agentwire import methods as m
from agentwire.convert import plain, structure
from agentwire.errors import Conflict, InvalidParams, NotFound
from agentwire.types import BlobRef, HistoryMessage, Preferences, SessionInfo, SessionSettings, ToolResult

PIECE = 256 * 1024
MODEL = "fake/one"


@define
class Kept:
    """One session."""

    info: SessionInfo
    settings: SessionSettings
    messages: list[HistoryMessage] = field(factory=list)
    blobs: dict[str, bytes] = field(factory=dict)


class FakeSessions:
    """`call` is one request. `page`: most messages, or sessions cleaned up, in one answer.

    `refuse`: the error of the next request of a method.
    """

    def __init__(self, *, page: int = 1000) -> None:
        self.kept: dict[str, Kept] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refuse: dict[str, BaseException] = {}
        self.page = page
        self.now = 1000.0
        self._keys: dict[str, Any] = {}
        self._parts: dict[tuple[str, str], bytes] = {}
        self.handlers: Mapping[str, Callable[[Any], Any]] = {
            "session/create": self._create,
            "session/list": self._list,
            "session/get": lambda params: self._find(params).info,
            "session/rename": self._rename,
            "session/delete": self._delete,
            "session/settings": lambda params: self._find(params).settings,
            "session/set": self._set,
            "session/fork": self._fork,
            "session/clean": self._clean,
            "message/list": self._messages,
            "message/add": self._add,
            "blob/get": self._get,
            "blob/put": self._put,
        }

    def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """One request, as a client sends it."""
        self.calls.append((method, params))
        if method in self.refuse:
            raise self.refuse.pop(method)
        wanted = structure(params, m.METHODS[method].params)
        key = getattr(wanted, "key", "")
        if not key or key not in self._keys:
            answer = plain(self.handlers[method](wanted))
            structure(answer, m.METHODS[method].result)
            if not key:
                return dict(answer)
            self._keys[key] = answer
        return dict(self._keys[key])

    def add(self, **info: Any) -> Kept:
        """A session that is there already."""
        number = f"{len(self.kept) + 1:032x}"
        usual = {"title": "a talk", "cwd": "/", "model": MODEL, "status": "idle", "turns": 0, "queued": 0}
        told: dict[str, Any] = {"id": number, "created_at": self.now, "updated_at": self.now, **usual, **info}
        chosen = Preferences(model=told["model"], max_steps=0, instructions="", pinned=told.get("pinned", False))
        kept = Kept(SessionInfo(**told), SessionSettings(preferences=chosen, variables={}))
        self.kept[kept.info.id] = kept
        return kept

    def _find(self, params: Any) -> Kept:
        found = [kept for name, kept in self.kept.items() if name.startswith(params.session)]
        if len(found) != 1:
            raise NotFound(f"there is no session {params.session}")
        return found[0]

    def _create(self, params: m.CreateSession) -> SessionInfo:
        if params.model.startswith("gone/"):
            raise InvalidParams("there is no model provider 'gone'")
        return self.add(title=params.title, cwd=params.cwd, model=params.model or MODEL).info

    def _list(self, params: m.ListSessions) -> m.SessionList:
        infos = [kept.info for kept in reversed(self.kept.values())]
        begin = int(params.before or 0)
        more = begin + params.limit < len(infos)
        return m.SessionList(sessions=tuple(infos[begin:][: params.limit]), cursor=str(begin + params.limit) if more else "")

    def _rename(self, params: m.RenameSession) -> SessionInfo:
        kept = self._find(params)
        kept.info = evolve(kept.info, title=params.title)
        return kept.info

    def _delete(self, params: m.DeleteSession) -> m.Empty:
        del self.kept[self._find(params).info.id]
        return m.Empty()

    def _set(self, params: m.SetSession) -> SessionSettings:
        kept = self._find(params)
        chosen = {name: value for name, value in plain(params.preferences).items() if value is not None}
        variables = {name: value for name, value in {**kept.settings.variables, **params.variables}.items() if value is not None}
        kept.settings = SessionSettings(preferences=evolve(kept.settings.preferences, **chosen), variables=variables)
        kept.info = evolve(kept.info, pinned=kept.settings.preferences.pinned or False)
        return kept.settings

    def _fork(self, params: m.ForkSession) -> SessionInfo:
        kept = self._find(params)
        copy = self.add(title=params.title or kept.info.title, cwd=kept.info.cwd, parent=kept.info.id)
        copy.messages, copy.blobs = list(kept.messages), dict(kept.blobs)
        return copy.info

    def _clean(self, params: m.CleanSessions) -> m.Cleaned:
        found = [kept.info for kept in self.kept.values() if not kept.info.pinned]
        gone = found[: self.page]
        if not params.dry_run:
            for info in gone:
                del self.kept[info.id]
        return m.Cleaned(sessions=tuple(gone), more=len(found) > len(gone))

    def _messages(self, params: m.ListMessages) -> m.MessagePage:
        messages = self._find(params).messages
        found = messages[params.offset :][: min(params.limit, self.page)]
        return m.MessagePage(messages=tuple(found), total=len(messages))

    def _add(self, params: m.AddMessages) -> m.AddedMessages:
        kept = self._find(params)
        results = [part for message in params.messages for part in message.parts if isinstance(part, ToolResult)]
        for blob in (part.blob for result in results for part in result.parts if isinstance(part, BlobRef)):
            if blob not in kept.blobs:
                raise NotFound(f"this session has no blob {blob}")
        kept.messages += params.messages
        return m.AddedMessages(seq=len(kept.messages))

    def _get(self, params: m.GetBlob) -> m.BlobPiece:
        content = self._find(params).blobs[params.blob]
        return m.BlobPiece(data=base64.b64encode(content[params.offset :][:PIECE]).decode(), bytes=len(content))

    def _put(self, params: m.PutBlob) -> m.BlobStored:
        kept, name = self._find(params), (params.session, params.blob)
        content = self._parts.get(name, b"") if params.offset else b""
        if len(content) != params.offset:
            raise Conflict("this piece does not follow the last one; begin again at offset 0")
        self._parts[name] = content + base64.b64decode(params.data, validate=True)
        if len(self._parts[name]) == params.bytes:
            assert hashlib.sha256(self._parts[name]).hexdigest() == params.blob
            kept.blobs[params.blob] = self._parts.pop(name)
            return m.BlobStored(received=params.bytes)
        return m.BlobStored(received=len(self._parts[name]))
