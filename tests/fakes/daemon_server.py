"""A scripted daemon: a real Unix socket, real frames (docs/protocol.md), one session, and a turn that is a list of acts.

In a test::

    with FakeDaemon(home, [Say("hel"), Die(), Say("lo"), Finish()]) as daemon:
        ... run a client ...; daemon.asked("session/prompt")

It blocks and uses threads, because what it serves blocks. `Die` is the death of the daemon as a client sees it: every connection
ends, what came of the draft since the last save is gone, and whoever connects next finds another boot that goes on with the turn.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from attrs import frozen

from agentwire import codec
from agentwire.errors import AgentError, CursorExpired, NotFound, UnknownMethod
from agentwire.paths import Paths, locate
from tests.fakes.sessions import FakeSessions

SESSION = "5e551011aaaabbbbccccddddeeeeffff"
PATIENCE = 10.0  # seconds until a script that nobody follows fails its test instead of hanging


# --- acts ------------------------------------------------------------------------------------------------------------------------


@frozen
class Say:
    """A delta of the text part."""

    text: str


@frozen
class Message:
    """The reply so far becomes an assistant message; the next `Say` belongs to the next step."""

    stop: str = "end"


@frozen
class Log:
    """Any persisted event; `turn` is filled in."""

    kind: str
    data: Mapping[str, Any]


@frozen
class Finish:
    """The end of the turn. `error`: its code; `after`: seconds until it may be tried again."""

    outcome: str = "done"
    error: str = ""
    after: float | None = None
    denials: int = 0


@frozen
class Die:
    """kill -9: `lost` characters of the draft were not saved. `saved`: the draft became an interrupted message."""

    lost: int = 0
    saved: bool = True


@frozen
class Lag:
    """The watch is closed because the client was too slow (or for another `reason`), and so many characters are not sent to it."""

    text: str
    reason: str = "lagged"


@frozen
class Restore:
    """A backup is put in place of the log: the daemon dies, and all but the first `keep` events have never been."""

    keep: int


@frozen
class Until:
    """Waits for a request of this method."""

    method: str


@frozen
class Raw:
    """These bytes to whoever watches."""

    data: bytes


Act = Say | Message | Log | Finish | Die | Lag | Restore | Until | Raw


def denied(name: str) -> list[Act]:
    """A call that the permissions deny."""
    call = {"call": "c1", "name": name, "arguments_json": '{"path": "x"}', "arguments_hash": "", "effect": "once"}
    return [
        Message("tool_calls"),
        Log("tool_planned", call),
        Log("tool_finished", {"call": "c1", "outcome": "denied", "parts": [{"kind": "text", "text": "denied: no rule allows it"}]}),
    ]


# --- the daemon ------------------------------------------------------------------------------------------------------------------


class FakeDaemon:
    """See the module's head. `answers` replaces the result of a method, or is the error it fails with, or lists several, the last
    of them repeated; `lose` names methods whose first reply is lost after its effect; `split` cuts every frame into pieces of so
    many bytes; `sessions` answers first."""

    def __init__(
        self,
        home: Path,
        turn: Sequence[Act] = (),
        *,
        answers: Mapping[str, dict[str, Any] | AgentError | list[Any]] | None = None,
        initialized: Mapping[str, Any] | None = None,
        lose: Sequence[str] = (),
        split: int = 0,
        busy: bool = False,
        sessions: FakeSessions | None = None,
    ) -> None:
        self.paths: Paths = locate({"AGENTD_HOME": str(home)}, 0)
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.log: list[dict[str, Any]] = []
        self.inputs = 0
        self._turn, self._answers, self._lose, self._split, self._busy = list(turn), dict(answers or {}), set(lose), split, busy
        self._initialized, self._sessions = dict(initialized or {}), sessions
        self._boot, self._step, self._draft = 1, 0, ""
        self._keys: dict[str, dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._connections: list[socket.socket] = []
        self._watchers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._stopped = False
        self._append("session_created", {"title": "", "cwd": "/", "model": "fake/one", "environment": {}})

    def __enter__(self) -> Self:
        folder = Path(self.paths.runtime)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.paths.socket)
        self._listener.listen()
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._hang_up()
        for thread in self._threads:
            thread.join(PATIENCE)
        Path(self.paths.socket).unlink()

    def add(self, kind: str, data: dict[str, Any]) -> None:
        """A persisted event that needs no turn."""
        self._append(kind, data)

    def asked(self, method: str) -> list[dict[str, Any]]:
        """The params of every request of this method so far."""
        return [params for name, params in self.requests if name == method]

    # --- connections ------------------------------------------------------------------------------------------------------------

    def _spawn(self, work: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self._spawn(self._serve, connection)

    def _hang_up(self) -> None:
        with self._changed:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._connections.clear()
            self._watchers.clear()

    def _serve(self, connection: socket.socket) -> None:
        reader = codec.FrameReader()
        with connection, suppress(OSError):
            while data := connection.recv(65536):
                for frame in reader.feed(data):
                    assert isinstance(frame, bytes)
                    self._answer(connection, codec.decode(frame))

    def _send(self, connection: socket.socket, frame: bytes) -> None:
        size = self._split or len(frame)
        with suppress(OSError):
            for start in range(0, len(frame), size):
                connection.sendall(frame[start : start + size])

    # --- requests ---------------------------------------------------------------------------------------------------------------

    def _answer(self, connection: socket.socket, message: dict[str, Any]) -> None:
        method, params = message["method"], message["params"]
        with self._changed:
            self.requests.append((method, params))
            reply = {"jsonrpc": "2.0", "id": message["id"], **self._reply(connection, method, params)}
            if method in self._lose:
                self._lose.discard(method)
                connection.shutdown(socket.SHUT_RDWR)
            else:
                self._send(connection, codec.encode(reply))
            if method == "session/watch" and "result" in reply:
                self._replay(connection, params.get("after"))
            self._changed.notify_all()

    def _reply(self, connection: socket.socket, method: str, params: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"result": self._result(method, params)}
        except AgentError as error:
            return {"error": error.to_wire()}

    def _result(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method in self._answers:
            answer = self._answers[method]
            if isinstance(answer, list):
                answer = answer.pop(0) if len(answer) > 1 else answer[0]
            if isinstance(answer, AgentError):
                raise answer
            return answer
        if self._sessions is not None and method in self._sessions.handlers:
            return self._sessions.call(method, params)
        key = params.get("key")
        if key and key in self._keys:
            return self._keys[key]
        handler = getattr(self, "_" + method.replace("/", "_"), None)
        if handler is None:
            raise UnknownMethod(f"there is no method {method}")
        result: dict[str, Any] = handler(params)
        if key:
            self._keys[key] = result
        return result

    def _initialize(self, params: dict[str, Any]) -> dict[str, Any]:
        result = {"protocol": 1, "version": "0", "pid": 1, "boot": f"b{self._boot}", "user": "local", "model": "fake/one"}
        return {**result, "environment_differs": [], "notice": "", **self._initialized}

    def _model_resolve(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"model": params["model"], "models": []}

    def _session_create(self, params: dict[str, Any]) -> dict[str, Any]:
        return self._info()

    def _session_get(self, params: dict[str, Any]) -> dict[str, Any]:
        if not SESSION.startswith(params["session"]):
            raise NotFound(f"there is no session {params['session']}")
        return self._info()

    def _session_list(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"sessions": [self._info()], "cursor": ""}

    def _session_rename(self, params: dict[str, Any]) -> dict[str, Any]:
        return {**self._session_get(params), "title": params["title"]}

    def _session_delete(self, params: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _session_cancel(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"turn": 1}

    def _session_watch(self, params: dict[str, Any]) -> dict[str, Any]:
        if (params.get("after") or 0) > len(self.log):
            raise CursorExpired("nothing goes on from there", oldest=1, newest=len(self.log))
        parts = [{"part": 0, "type": "text", "text": self._draft, "name": ""}]
        draft = {"turn": 1, "step": self._step, "parts": parts} if self._draft else None
        turn = 1 if self._draft else None
        view: dict[str, Any] = {"info": self._session_get(params), "turn": turn, "queue": [], "approvals": [], "draft": draft}
        answer = {"session": SESSION, "seq": len(self.log), "boot": f"b{self._boot}"}
        return answer | {"view": view if params.get("after") is None else None}

    def _event_list(self, params: dict[str, Any]) -> dict[str, Any]:
        after = params.get("after") or 0
        page = self.log[after : after + 3]
        return {"events": page, "more": after + 3 < len(self.log)}

    def _session_prompt(self, params: dict[str, Any]) -> dict[str, Any]:
        self.inputs += 1
        names = ("delivery", "interactive", "model", "max_steps", "parts")
        self._append("input_accepted", {"input": self.inputs, **{name: params.get(name) for name in names}})
        if not self._busy:
            self._append("turn_started", {"turn": 1, "input": self.inputs, "model": "fake/one"})
        self._spawn(self._play)
        return {"input": self.inputs, "seq": len(self.log), "turn": None if self._busy else 1}

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {
            "id": SESSION,
            "title": "a talk",
            "cwd": "/",
            "model": "fake/one",
            "status": "idle",
            "created_at": 0.0,
        }
        return info | {"updated_at": 0.0, "turns": self.inputs, "queued": 0}

    # --- the turn ---------------------------------------------------------------------------------------------------------------

    def _play(self) -> None:
        with self._changed:
            if self._busy:
                self._append("turn_started", {"turn": 1, "input": self.inputs, "model": "fake/one"})
            for act in self._turn:
                if not self._stopped:
                    self._act(act)

    def _act(self, act: Act) -> None:
        match act:
            case Say(text):
                self._delta(text)
            case Message(stop):
                self._message(stop)
            case Log(kind, data):
                self._append(kind, {"turn": 1, **data})
            case Finish():
                self._finish(act)
            case Die():
                self._die(act)
            case Lag(text, reason):
                self._transient("watch_closed", {"reason": reason, "seq": len(self.log)})
                self._watchers.clear()
                self._draft += text
                self._until(lambda: bool(self._watchers), "nobody watched again")
            case Restore(keep):
                self._hang_up()
                self._boot += 1
                self._draft = ""
                del self.log[keep:]
                self._until(lambda: bool(self._watchers), "nobody came back")
            case Until(method):
                self._until(lambda: bool(self.asked(method)), f"nobody asked for {method}")
            case Raw(data):
                for watcher in self._watchers:
                    self._send(watcher, data)

    def _delta(self, text: str) -> None:
        part = {"part": 0, "type": "text", "offset": len(self._draft), "text": text, "name": ""}
        self._draft += text
        self._transient("delta", {"turn": 1, "step": self._step, "parts": [part]})

    def _message(self, stop: str) -> None:
        usage = {"input": 1, "output": 1, "cached": 0, "reasoning": 0}
        parts = [{"kind": "text", "text": self._draft}] if self._draft else []
        data = {"turn": 1, "step": self._step, "model": "fake/one", "parts": parts, "stop": stop, "usage": usage}
        self._draft = ""
        self._step += 1
        self._append("assistant_message", data)

    def _finish(self, act: Finish) -> None:
        if self._draft:
            self._message("end" if act.outcome == "done" else "interrupted")
        said = {"code": act.error, "message": f"it failed with {act.error}", "retryable": False, "retry_after": act.after}
        error = said if act.error else None
        usage = {"input": 2, "output": 3, "cached": 0, "reasoning": 0}
        ending = {"turn": 1, "outcome": act.outcome, "steps": self._step, "denials": act.denials}
        data = {**ending, "usage": usage, "error": error, "cost": 0.0125}
        self._append("turn_finished", data)

    def _die(self, act: Die) -> None:
        self._hang_up()
        self._boot += 1
        self._draft = self._draft[: len(self._draft) - act.lost]
        if act.saved and self._draft:
            self._message("interrupted")
        self._append("turn_resumed", {"turn": 1, "resumes": self._boot - 1})
        self._until(lambda: bool(self._watchers), "nobody came back")

    def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        assert self._changed.wait_for(lambda: self._stopped or condition(), PATIENCE), otherwise

    # --- events -----------------------------------------------------------------------------------------------------------------

    def _append(self, kind: str, data: dict[str, Any]) -> None:
        event = {"stream": SESSION, "seq": len(self.log) + 1, "pos": len(self.log) + 1, "at": 0.0, "kind": kind, "version": 1}
        self.log.append(event | {"data": data})
        self._publish(self.log[-1])

    def _transient(self, kind: str, data: dict[str, Any]) -> None:
        self._publish({"stream": SESSION, "kind": kind, "data": data})

    def _publish(self, event: dict[str, Any]) -> None:
        for watcher in self._watchers:
            self._send(watcher, _frame(event))

    def _replay(self, connection: socket.socket, after: int | None) -> None:
        for event in self._behind(after):
            self._send(connection, _frame(event))
        self._watchers.append(connection)

    def _behind(self, after: int | None) -> Iterator[dict[str, Any]]:
        if after is not None:
            yield from self.log[after:]
            if self._draft:
                parts = [{"part": 0, "type": "text", "text": self._draft, "name": ""}]
                yield {"stream": SESSION, "kind": "draft_reset", "data": {"turn": 1, "step": self._step, "parts": parts}}


def _frame(event: dict[str, Any]) -> bytes:
    return codec.encode({"jsonrpc": "2.0", "method": "event", "params": event})
