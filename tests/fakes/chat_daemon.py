"""A daemon for the chat's tests, on asyncio beside it: real sockets and frames, a log per session, turns that the test plays."""

from __future__ import annotations

import asyncio  # noqa: TID251  # it runs in the chat's loop
import itertools
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from agentwire.codec import FrameReader, decode, encode
from agentwire.errors import AgentError, Conflict, InvalidParams, NotFound, UnknownMethod

PATIENCE = 10.0
"""Seconds after which a wait of a test has failed."""
USAGE = {"input": 12, "output": 34, "cached": 0, "reasoning": 0}


class FakeSession:
    """One session: its log, and what a view says."""

    def __init__(self, name: str, cwd: str) -> None:
        self.id, self.cwd, self.title = name, cwd, ""
        self.log: list[dict[str, Any]] = []
        self.turn: int | None = None
        self.queue: list[dict[str, Any]] = []
        self.approvals: dict[str, dict[str, Any]] = {}
        self.draft: dict[str, Any] | None = None
        self.inputs = self.turns = 0

    @property
    def info(self) -> dict[str, Any]:
        status = "running" if self.turn else "idle"
        times = {"created_at": 1.0, "updated_at": 2.0, "turns": self.turns, "queued": len(self.queue)}
        told = {"id": self.id, "title": self.title, "cwd": self.cwd, "model": "fake/m1", "status": status, **times}
        return told | {"pinned": False, "parent": ""}

    @property
    def view(self) -> dict[str, Any]:
        approvals = list(self.approvals.values())
        return {"info": self.info, "turn": self.turn, "queue": self.queue, "approvals": approvals, "draft": self.draft}


class FakeDaemon:
    """Listens on `path`. `calls` holds (method, params) of every request, `boot` counts starts; `hello` overrides `initialize`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.boot = 0
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.hello: dict[str, Any] = {}
        self.sessions: dict[str, FakeSession] = {}
        self.refuse: dict[str, AgentError] = {}
        self.cut_before: set[str] = set()  # methods whose next request ends the connection unanswered
        self._server: asyncio.Server | None = None
        self._writers: dict[asyncio.StreamWriter, set[str]] = {}
        self._changed = asyncio.Condition()
        self._names = (f"{number:08x}{'0' * 24}" for number in itertools.count(0xA1))

    async def start(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.path)
        self.boot += 1
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        """As kill -9 does: connections end, nobody listens."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.close()
        self._writers.clear()

    async def called(self, method: str, times: int = 1) -> dict[str, Any]:
        """The parameters of the last of so many requests, once they have come."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: len(self._of(method)) >= times), PATIENCE)
        return self._of(method)[times - 1]

    def _of(self, method: str) -> list[dict[str, Any]]:
        return [params for name, params in self.calls if name == method]

    def add_session(self, cwd: str) -> FakeSession:
        session = FakeSession(next(self._names), cwd)
        self.sessions[session.id] = session
        return session

    @property
    def only(self) -> FakeSession:
        (session,) = self.sessions.values()
        return session

    def emit(self, session: FakeSession, kind: str, **data: Any) -> None:
        """Commits an event and sends it to the watchers."""
        event = {
            "stream": session.id,
            "seq": len(session.log) + 1,
            "pos": 0,
            "at": time.time(),
            "kind": kind,
            "version": 1,
            "data": data,
        }
        session.log.append(event)
        self._send(session, event)

    def transient(self, session: FakeSession, kind: str, **data: Any) -> None:
        """Sends what is not in the log."""
        self._send(session, {"stream": session.id, "kind": kind, "data": data})

    def delta(self, session: FakeSession, offset: int, text: str, *, step: int = 0, part: int = 0) -> None:
        """A piece of text of the running turn."""
        piece = {"part": part, "type": "text", "offset": offset, "text": text, "name": ""}
        self.transient(session, "delta", turn=session.turns, step=step, parts=[piece])

    def reply(self, session: FakeSession, text: str, *, stop: str = "end", step: int = 0) -> None:
        """A whole reply."""
        parts = [{"kind": "text", "text": text}]
        self.emit(session, "assistant_message", turn=session.turns, step=step, model="fake/m1", parts=parts, stop=stop, usage=USAGE)

    def finish(self, session: FakeSession, outcome: str = "done", error: Mapping[str, Any] | None = None) -> None:
        session.turn = None
        self.emit(session, "turn_finished", turn=session.turns, outcome=outcome, steps=1, denials=0, usage=USAGE, error=error)

    def _send(self, session: FakeSession, event: dict[str, Any]) -> None:
        for writer, watched in self._writers.items():
            if session.id in watched:
                writer.write(encode({"jsonrpc": "2.0", "method": "event", "params": event}))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers[writer] = set()
        frames = FrameReader()
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                for frame in frames.feed(data):
                    assert isinstance(frame, bytes)
                    await self._answer(decode(frame), writer)
        self._writers.pop(writer, None)
        writer.close()

    async def _answer(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        method, params = request["method"], request["params"]
        self.calls.append((method, params))
        if method in self.cut_before:
            self.cut_before.discard(method)
            writer.close()
        else:
            answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
            try:
                if method in self.refuse:
                    raise self.refuse.pop(method)
                handler = getattr(self, f"_do_{method.replace('/', '_')}", None)
                if handler is None:
                    raise UnknownMethod(method)
                answer["result"] = handler(params, writer)
            except AgentError as error:
                answer["error"] = error.to_wire()
            writer.write(encode(answer))
        async with self._changed:
            self._changed.notify_all()

    def _session(self, params: dict[str, Any]) -> FakeSession:
        for name, session in self.sessions.items():
            if name.startswith(params["session"]):
                return session
        raise NotFound(f"there is no session {params['session']}")

    def _do_initialize(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        told = {"protocol": 1, "version": "0", "pid": 1, "boot": str(self.boot), "user": "local", "model": "fake/m1"}
        return {**told, "environment_differs": [], "notice": "", **self.hello}

    def _do_model_resolve(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        """`typo` is one, `bare` has no provider, and only `fake/m1` sees."""
        if params["model"] == "typo":
            raise InvalidParams("'typo' is no model alias; did you mean tops?")
        name = "other/bare" if params["model"] == "bare" else params["model"]
        info = {"id": name, "capabilities": ["images"] if name == "fake/m1" else [], "known": True}
        return {"model": name, "models": [info]}

    def _do_session_create(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        session = self.add_session(params["cwd"])
        self.emit(session, "session_created", title="", cwd=params["cwd"], model="fake/m1", environment={})
        return session.info

    def _do_session_get(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        return self._session(params).info

    def _do_session_list(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        cwd = params.get("cwd", "")
        found = [session.info for session in reversed(self.sessions.values()) if session.cwd.startswith(cwd)]
        return {"sessions": found[: params["limit"]], "cursor": ""}

    def _do_session_watch(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        session = self._session(params)
        self._writers[writer].add(session.id)
        return {"session": session.id, "seq": len(session.log), "boot": str(self.boot), "view": session.view}

    def _do_session_unwatch(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        self._writers[writer].discard(self._session(params).id)
        return {}

    def _do_event_list(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        log, limit = self._session(params).log, params["limit"]
        if "before" in params:
            return {"events": log[: params["before"] - 1][-limit:], "more": params["before"] - 1 > limit}
        return {"events": log[params["after"] :][:limit], "more": len(log) - params["after"] > limit}

    def _do_session_prompt(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        session = self._session(params)
        session.inputs += 1
        item = {"input": session.inputs, "parts": params["parts"], "delivery": params["delivery"]}
        item |= {"interactive": params["interactive"], "model": "fake/m1", "max_steps": 0}
        self.emit(session, "input_accepted", **item)
        if session.turn is None:
            self.begin(session, session.inputs)
        else:
            session.queue.append(item)
        return {"input": session.inputs, "seq": len(session.log), "turn": session.turn}

    def begin(self, session: FakeSession, number: int) -> None:
        """A turn begins with this input."""
        session.turns += 1
        session.turn = session.turns
        session.queue = [item for item in session.queue if item["input"] != number]
        self.emit(session, "turn_started", turn=session.turns, input=number, model="fake/m1")

    def _do_session_fork(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        """A copy with what was said up to `seq`."""
        old = self._session(params)
        new = self.add_session(old.cwd)
        new.title = params.get("title") or old.title
        self.emit(new, "session_created", title=new.title, cwd=old.cwd, model="fake/m1", environment={}, parent=old.id)
        inputs: dict[int, Any] = {}
        for event in old.log[: params.get("seq")]:
            match event["kind"]:
                case "input_accepted":
                    inputs[event["data"]["input"]] = event["data"]["parts"]
                case "turn_started":
                    self.emit(new, "message_added", role="user", parts=inputs[event["data"]["input"]])
                case "assistant_message":
                    self.emit(new, "message_added", role="assistant", parts=event["data"]["parts"])
        return new.info

    def _do_session_settings(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        chosen = {"model": "fake/m1", "max_steps": 0, "instructions": "", "pinned": False}
        return {"preferences": chosen, "variables": {}}

    def _do_message_list(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        told = [event["data"]["parts"] for event in self._session(params).log if event["kind"] == "assistant_message"]
        return {"messages": [{"role": "assistant", "parts": parts} for parts in told], "total": len(told)}

    def _do_session_cancel(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        session = self._session(params)
        turn = session.turn
        if turn is not None:
            self.finish(session, "cancelled")
        return {"turn": turn}

    def ask(self, session: FakeSession, call: str, name: str, arguments_json: str, **more: Any) -> None:
        """An approval is requested."""
        body = {"call": call, "name": name, "arguments_json": arguments_json, "arguments_hash": "h", "expires_at": 9e9, **more}
        session.approvals[call] = body
        self.emit(session, "approval_requested", turn=session.turns, **body)

    def _do_approval_answer(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        session = self._session(params)
        if session.approvals.pop(params["call"], None) is None:
            raise Conflict("the call was answered by somebody else: deny")
        answer = {"call": params["call"], "decision": params["decision"], "by": "local", "note": params["note"]}
        self.emit(session, "approval_answered", turn=session.turns, **answer)
        return {}

    def _do_session_set(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        chosen = {"model": None, "max_steps": None, "instructions": None, "pinned": None, "mode": None, **params["preferences"]}
        self.emit(self._session(params), "session_configured", preferences=chosen, variables={})
        return {"preferences": chosen, "variables": {}}

    def _do_permission_list(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        rule = {"rule": "shell(npm ci)", "verdict": "allow", "scope": "session", "source": "this session"}
        built_in = {"rule": "shell(ls *)", "verdict": "allow", "scope": "built-in", "source": "built-in"}
        return {"rules": [rule, built_in], "mode": "default", "untrusted": "/p/.agentd/config.toml"}

    def _do_permission_add(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        return {}

    def _do_tool_list(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        return {"tools": [{"name": "shell", "source": "builtin", "description": "Run a command", "calls": 3}]}

    def _do_tool_call(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        return {"call": "c", "outcome": "ok", "parts": [{"kind": "text", "text": "total 0\n"}], "seconds": 0.1}

    def _do_model_list(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        return {"models": [{"id": "fake/m1", "context": 1, "default": True, "available": True, "note": "a fake"}]}

    def _do_usage_get(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        """One request a turn, and as much again in other sessions."""
        turn = {"key": "1", "requests": 1, "usage": {"input": 12_345, "output": 950, "cached": 0, "reasoning": 0}, "cost": 0.0123}
        turn |= {"unpriced": 0, "estimated": 0, "title": "fake/m1"}
        total = turn | {"requests": 2 - ("session" in params)}
        budget = {"scope": "day", "unit": "usd", "limit": 5.0, "used": 1.0, "reserved": 0.0}
        return {"rows": [turn], "total": total, "unpriced": [], "budgets": [budget]}

    def _do_daemon_status(self, params: dict[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        return {"version": "0", "pid": 1, "sessions": len(self.sessions), "running": 0, "warnings": ["look out"]}
