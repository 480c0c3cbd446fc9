"""The chat against a daemon on a real socket: nothing typed is lost, nothing comes twice, whenever the connection breaks."""

from __future__ import annotations

import asyncio  # noqa: TID251  # the chat's loop
import json
import os
from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agentctl.chat import connection as connection_module
from agentctl.chat.attach import HISTORY_LINES
from agentctl.chat.chat import Chat
from agentctl.chat.connection import Connection, dial
from agentctl.chat.render import Line
from agentwire.errors import AgentError, ConfigError, Conflict, NotFound, StorageFull, Unreachable, VersionMismatch
from agentwire.paths import Paths, locate
from tests.fakes.chat_daemon import PATIENCE, FakeDaemon


class Tape:
    """A screen that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.left: int | None = None
        self.filled = ""
        self._changed = asyncio.Event()

    def show(self, lines: Sequence[Line]) -> None:
        self.lines += [item.text for item in lines]
        self.refresh()

    def fill(self, text: str) -> None:
        self.filled = text
        self.refresh()

    def refresh(self) -> None:
        self._changed.set()

    def leave(self, code: int) -> None:
        self.left = code

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits for changes until it holds."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def printed(self, text: str) -> None:
        await self.until(lambda: any(text in item for item in self.lines))


class Stage:
    """A chat with its daemon and its tape."""

    def __init__(self, folder: Path, cwd: str = "/here", **options: Any) -> None:
        self.paths = home(folder)
        self.daemon = FakeDaemon(self.paths.socket)
        self.tape = Tape()
        chosen = {"prompt": [], "session": "", "continue_last": False, "model": "", "fallback_model": "", **options}
        self.chat = Chat(self.paths, Namespace(**chosen), {"PATH": "/bin", "SECRET": "x"}, cwd, self.tape)

    async def begin_turn(self, text: str = "hello") -> None:
        self.chat.entered(text)
        await self.tape.printed(f"> {text}")
        await self.tape.until(lambda: not self.chat.link.outbox)


def home(folder: Path) -> Paths:
    paths = locate({"AGENTD_HOME": str(folder)}, os.getuid())
    Path(paths.runtime).mkdir(mode=0o700, parents=True, exist_ok=True)
    return paths


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Runs a script on a stage, with the daemon there and the chat running."""

    def run(script: Callable[[Stage], Awaitable[None]], **options: Any) -> None:
        async def main() -> None:
            stage = Stage(tmp_path, **options)
            await stage.daemon.start()
            task = asyncio.create_task(stage.chat.run())
            try:
                await script(stage)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await stage.daemon.stop()

        asyncio.run(main())

    return run


Play = Callable[..., None]

# --- a conversation -----------------------------------------------------------------------------------------------------------


def test_the_session_begins_with_the_first_message(play: Play) -> None:
    """Opening makes no session; the first message makes one with our directory and allow-listed environment, and streams."""

    async def script(stage: Stage) -> None:
        await stage.tape.printed("new session")
        assert not stage.daemon.sessions
        await stage.begin_turn()
        assert (await stage.daemon.called("session/create"))["environment"] == {"PATH": "/bin"}
        prompt = await stage.daemon.called("session/prompt")
        assert prompt["interactive"]
        assert prompt["delivery"] == "queue"
        stage.daemon.delta(stage.daemon.only, 0, "one\ntw")
        await stage.tape.printed("one")
        assert [item.text for item in stage.chat.tail()] == ["tw"]
        stage.daemon.reply(stage.daemon.only, "one\ntwo")
        stage.daemon.finish(stage.daemon.only)
        await stage.tape.until(lambda: stage.chat.transcript.turn is None and bool(stage.chat.transcript.usage))
        assert stage.tape.lines[1:] == ["", "> hello", "", "one", "two"]
        assert stage.chat.status() == "idle · 000000a1 · fake/m1 · 12 in, 34 out"

    play(script)


def test_words_of_the_command_line_are_the_first_message(play: Play) -> None:
    """`agentctl chat what now` sends at once, with the model that was asked for."""

    async def script(stage: Stage) -> None:
        prompt = await stage.daemon.called("session/prompt")
        assert prompt["parts"] == [{"kind": "text", "text": "what now"}]
        assert prompt["model"] == "a/b"

    play(script, prompt=["what", "now"], model="a/b")


def test_notices_come_once_at_the_head(play: Play) -> None:
    """What the model is, and which variables differ, stand under the first line, neutralised."""

    async def script(stage: Stage) -> None:
        await stage.tape.printed("agentctl daemon restart")
        assert stage.tape.lines[1:] == [
            "a small\u241b model",
            "",
            "the daemon has other values of A, B; `agentctl daemon restart` takes yours",
        ]

    def with_hello(stage_script: Callable[[Stage], Awaitable[None]]) -> Callable[[Stage], Awaitable[None]]:
        async def run(stage: Stage) -> None:
            stage.daemon.hello = {"notice": "a small\x1b model", "environment_differs": ["A", "B"]}
            await stage_script(stage)

        return run

    play(with_hello(script))


def test_busy_inputs_queue_steer_and_interrupt(play: Play) -> None:
    """While a turn runs: Enter queues, steer steers, interrupt cancels; what waits is shown."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn()
        stage.chat.entered("later")
        stage.chat.steer("now")
        stage.chat.entered("/interrupt instead")
        deliveries = [(await stage.daemon.called("session/prompt", times))["delivery"] for times in (2, 3, 4)]
        assert deliveries == ["queue", "steer", "interrupt"]
        await stage.tape.until(lambda: len(stage.chat.transcript.queue) == 3 and not stage.chat.link.outbox)
        assert [item.text for item in stage.chat.waiting()] == ["  queued: later", "  steering: now", "  next: instead"]
        stage.chat.interrupt()
        await stage.tape.printed("── interrupted ──")

    play(script)


def test_another_client_on_the_session(play: Play) -> None:
    """What somebody else types in the same session appears here too."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn()
        stage.daemon.finish(stage.daemon.only)
        other = await Connection.open(stage.paths, {}, start=False)
        parts = [{"kind": "text", "text": "from elsewhere"}]
        params = {"session": stage.daemon.only.id, "parts": parts, "delivery": "queue", "interactive": True}
        await other.call("session/prompt", params)
        other.close()
        await stage.tape.printed("> from elsewhere")

    play(script)


# --- approvals ----------------------------------------------------------------------------------------------------------------


def test_an_approval_is_answered_with_a_line(play: Play) -> None:
    """Only y or n answers; anything else stays in the input; the answer is bound to the call's hash."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn()
        stage.daemon.ask(stage.daemon.only, "c", "shell", '{"command": "ls"}')
        await stage.tape.printed("command: ls")
        assert stage.chat.asking()
        assert not stage.chat.entered("yellow")
        assert "a question is open" in stage.chat.status()
        stage.chat.edited()
        assert "allow shell?" in stage.chat.status()
        assert stage.chat.entered("n not here")
        answer = await stage.daemon.called("approval/answer")
        assert (answer["decision"], answer["note"], answer["arguments_hash"]) == ("deny", "not here", "h")
        await stage.tape.printed("✗ shell was denied: not here")
        assert not stage.chat.asking()

    play(script)


def test_an_answer_may_hold_for_longer(play: Play) -> None:
    """Where rules are proposed they are shown first, and `a` adds them for good."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn()
        stage.daemon.ask(
            stage.daemon.only, "c", "shell", '{"command": "npm ci"}', why="it wants the network", proposes=["shell(npm ci)"]
        )
        await stage.tape.printed("    s or a would allow from then on: shell(npm ci)")
        assert stage.chat.entered("a")
        answer = await stage.daemon.called("approval/answer")
        assert (answer["decision"], answer["note"], answer["remember"]) == ("allow", "", "always")

    play(script)


def test_what_is_done_about_tools(play: Play) -> None:
    """The mode, the rules, the tools, one's own commands, to-do lists: each a command or a key."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn("first")
        session = stage.daemon.only
        stage.chat.next_mode()
        await stage.tape.printed("settings: mode=accept-edits")
        assert "mode accept-edits" in stage.chat.status()
        for text, says in [
            ("/mode", "mode accept-edits; /mode NAME takes one of"),
            ("/mode sometimes", "there is no mode sometimes"),
            ("/mode bypass", "nothing is walled in"),
            ("/permissions", "  allow shell(npm ci)  (this session)"),
            ("/permissions", "/p/.agentd/config.toml has rules that do not count"),
            ("/permissions add allow shell(git push *)", "from now on, in this session: allow shell(git push *)"),
            ("/permissions what", "/permissions add|remove"),
            ("/tools", "shell           builtin     Run a command  3 calls"),
            ("!ls -l", "! ls -l"),
            ("!ls -l", "total 0"),
            ("/todo", "nothing is on the to-do list"),
        ]:
            stage.chat.entered(text)
            await stage.tape.printed(says)
        called = await stage.daemon.called("tool/call")
        assert (called["name"], called["arguments"]) == ("shell", {"command": "ls -l"})
        stage.daemon.emit(session, "todos_changed", todos=[{"text": "look", "state": "done"}, {"text": "mend", "state": "pending"}])
        stage.daemon.emit(session, "job_started", number=1, call="c", command="npm start", cwd="/")
        await stage.tape.printed("● job 1 started: npm start")
        stage.chat.show_todos()
        await stage.tape.printed("  [ ] mend")
        await stage.tape.printed("  job 1: npm start")
        stage.daemon.emit(session, "job_finished", number=1, state="failed", code=1, parts=[])
        await stage.tape.printed("● job 1 failed (exit code 1): npm start")
        stage.chat.toggle_details()
        await stage.tape.printed("details of tool calls: on")

    play(script)


def test_somebody_else_was_first(play: Play) -> None:
    """A conflict is said, and the question is closed."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn()
        stage.daemon.ask(stage.daemon.only, "c", "shell", "{}")
        await stage.tape.until(stage.chat.asking)
        stage.daemon.refuse["approval/answer"] = Conflict("the question is answered already (deny)")
        stage.chat.entered("y")
        await stage.tape.printed("too late: the question is answered already (deny)")
        assert not stage.chat.asking()

    play(script)


# --- coming back --------------------------------------------------------------------------------------------------------------


def test_continue_attaches_in_mid_answer(tmp_path: Path) -> None:
    """The history, the draft so far, an open question; then it streams on."""

    async def main() -> None:
        stage = Stage(tmp_path, continue_last=True)
        session = stage.daemon.add_session("/here")
        parts = [{"kind": "text", "text": "hi"}]
        stage.daemon.emit(
            session, "input_accepted", input=1, parts=parts, delivery="queue", interactive=True, model="m", max_steps=0
        )
        stage.daemon.begin(session, 1)
        stage.daemon.ask(session, "c", "shell", "{}")
        session.draft = {"turn": 1, "step": 0, "parts": [{"part": 0, "type": "text", "text": "one\ntw", "name": ""}]}
        await stage.daemon.start()
        task = asyncio.create_task(stage.chat.run())
        await stage.tape.until(lambda: stage.chat.link.up)
        assert stage.tape.lines[1:] == ["", "> hi", "", "? The model wants to use shell:", "    {}", "", "one"]
        assert stage.chat.asking()
        stage.daemon.delta(session, 6, "o\n")
        await stage.tape.printed("two")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stage.daemon.stop()

    asyncio.run(main())


def test_a_long_history_is_cut(tmp_path: Path) -> None:
    """Only its end is printed, with the command that shows the rest."""

    async def main() -> None:
        stage = Stage(tmp_path, session="000000a1")
        session = stage.daemon.add_session("/elsewhere")
        for _ in range(400):
            stage.daemon.reply(session, "x\ny")
        await stage.daemon.start()
        task = asyncio.create_task(stage.chat.run())
        await stage.tape.until(lambda: stage.chat.link.up)
        assert stage.tape.lines[1] == "── earlier messages: agentctl session show 000000a1 ──"
        assert len(stage.tape.lines) == HISTORY_LINES + 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stage.daemon.stop()

    asyncio.run(main())


def test_a_session_that_is_not_there_ends_the_chat(tmp_path: Path) -> None:
    """-s with a wrong id is an error of the command."""

    async def main() -> None:
        stage = Stage(tmp_path, session="zzz")
        await stage.daemon.start()
        with pytest.raises(ExceptionGroup) as caught:
            await stage.chat.run()
        assert caught.group_contains(NotFound)
        await stage.daemon.stop()

    asyncio.run(main())


def test_a_killed_daemon_leaves_a_seam_and_nothing_else(play: Play) -> None:
    """Killed in mid-answer and back: what was missed comes, the seam is marked, the stream goes on."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn()
        session = stage.daemon.only
        stage.daemon.delta(session, 0, "one\ntw")
        await stage.tape.printed("one")
        await stage.daemon.stop()
        await stage.tape.until(lambda: not stage.chat.link.up)
        stage.daemon.reply(session, "one\ntwo", stop="interrupted")
        stage.daemon.emit(session, "turn_resumed", turn=1, resumes=1)
        await stage.daemon.start()
        await stage.tape.printed("restarted")
        stage.daemon.delta(session, 0, "three\n", step=1)
        await stage.tape.printed("three")
        seams = [
            "tw",
            "",
            "── connection lost; continuing ──",
            "",
            "o",
            "",
            "── the daemon was restarted; continuing ──",
            "",
            "three",
        ]
        assert stage.tape.lines[-len(seams) :] == seams

    play(script)


def test_what_is_typed_while_the_daemon_is_gone_arrives_once(play: Play) -> None:
    """A message whose answer was cut off is sent again with the same key; what waits is shown until then."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn()
        stage.daemon.cut_before.add("session/prompt")
        stage.chat.entered("important")
        assert [item.text for item in stage.chat.waiting()] == ["  sending: important"]
        first, second = await stage.daemon.called("session/prompt", 2), await stage.daemon.called("session/prompt", 3)
        assert first["key"] == second["key"]
        await stage.tape.until(lambda: not stage.chat.link.outbox)
        assert await stage.chat.link.drain() == []

    play(script)


def test_a_lagging_watch_is_begun_again(play: Play) -> None:
    """After `lagged` the missed events are fetched and nothing is printed twice."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn()
        session = stage.daemon.only
        stage.daemon.transient(session, "watch_closed", reason="lagged", seq=3)
        await stage.daemon.called("session/watch", 2)
        stage.daemon.reply(session, "answer")
        await stage.tape.printed("answer")
        assert stage.tape.lines.count("> hello") == 1

    play(script)


def test_a_missed_delta_is_mended(play: Play) -> None:
    """A gap in the stream makes the chat look again; the draft of the view fills it."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn()
        session = stage.daemon.only
        session.draft = {"turn": 1, "step": 0, "parts": [{"part": 0, "type": "text", "text": "whole\nline\n", "name": ""}]}
        stage.daemon.delta(session, 6, "line\n")
        await stage.tape.printed("line")
        assert stage.tape.lines[-2:] == ["whole", "line"]

    play(script)


def test_a_daemon_that_was_stopped_stays_stopped(play: Play) -> None:
    """After `stopping` the chat waits; only a new message would start it."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn()
        stage.daemon.transient(stage.daemon.only, "watch_closed", reason="stopping", seq=3)
        await stage.tape.until(lambda: not stage.chat.wants_daemon())
        await stage.daemon.stop()
        await stage.tape.until(lambda: "your next message starts it" in stage.chat.status())

    play(script)


def test_a_deleted_session_is_left(play: Play) -> None:
    """It is said, and the next message begins another session."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn()
        stage.daemon.transient(stage.daemon.only, "watch_closed", reason="deleted", seq=3)
        await stage.tape.printed("this session was deleted")
        await stage.begin_turn("again")
        await stage.daemon.called("session/create", 2)

    play(script)


def test_a_refused_message_is_said(play: Play) -> None:
    """An error of the daemon names what was not sent, and the chat goes on."""

    async def script(stage: Stage) -> None:
        await stage.tape.printed("new session")
        stage.daemon.refuse["session/prompt"] = StorageFull("the disk is full")
        stage.chat.entered("hello")
        await stage.tape.printed("error: the disk is full (not sent: hello)")
        await stage.begin_turn("again")

    play(script)


# --- slash commands -----------------------------------------------------------------------------------------------------------


def test_a_model_counts_for_what_is_sent_after_it(play: Play) -> None:
    """However fast one types; one that is refused counts for nothing."""

    async def script(stage: Stage) -> None:
        for text in ("/model bare", "one", "/model typo", "two"):
            stage.chat.entered(text)
        assert (await stage.daemon.called("session/prompt", 1))["model"] == "other/bare"
        assert (await stage.daemon.called("session/prompt", 2))["model"] == "other/bare"

    play(script)


def test_a_mistyped_model_of_the_command_line_is_told_at_once(play: Play) -> None:
    """Before anything is typed."""

    async def script(stage: Stage) -> None:
        await stage.tape.printed("error: 'typo' is no model alias; did you mean tops?")

    play(script, model="typo")


def test_what_a_model_cannot_be_shown_is_said(play: Play) -> None:
    """Of what is in the conversation already, whoever attached it."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn("first")
        parts = [{"kind": "text", "text": "see"}, {"kind": "image", "blob": "0" * 64, "bytes": 9, "media": "image/png"}]
        about = {"delivery": "queue", "interactive": True, "model": "m", "max_steps": 0}
        stage.daemon.emit(stage.daemon.only, "input_accepted", input=2, parts=parts, **about)
        await stage.tape.until(lambda: bool(stage.chat.transcript.attached))
        stage.chat.entered("/model other/x")
        await stage.tape.printed("other/x takes no images: it is told that image/png is there, and of what size, not what it shows")
        stage.chat.entered("/model fake/m1")
        await stage.tape.printed("from the next message on: fake/m1")
        assert not any("fake/m1 takes no" in row for row in stage.tape.lines)

    play(script)


def test_slash_commands(play: Play) -> None:
    """Each says what it knows; an unknown one is one clear line; a path is a message."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn("first")
        for text, says in [
            ("/help", "Alt+Enter"),
            ("/queue", "nothing waits"),
            ("/cost", "turn 1: 1 request, 12.3k tokens in, 950 out, $0.0123"),
            ("/cost", "today (UTC): 2 requests, 12.3k tokens in, 950 out, $0.0123"),
            ("/cost", "budget of today (UTC): $5.0000, $1.0000 used, $4.0000 left"),
            ("/status", "daemon 0, pid 1, 1 session, 0 running"),
            ("/status", "look out"),
            ("/model", "* fake/m1  a fake"),
            ("/model typo", "error: 'typo' is no model alias; did you mean tops?"),
            ("/model bare", "bare is no alias: this is the model other/bare"),
            ("/model other/x", "from the next message on: other/x"),
            ("/resume", "1  000000a1  (no title)  running  /here"),
            ("/resume 1", "this is the session you are in"),
            ("/resume zzz", "error: there is no session zzz"),
            ("/steer", "/steer TEXT"),
            ("/modell", "there is no command /modell; did you mean /model?"),
            ("/new", "new session: it begins with your next message"),
        ]:
            stage.chat.entered(text)
            await stage.tape.printed(says)
        await stage.begin_turn("/etc/hosts is a path")
        assert (await stage.daemon.called("session/prompt", 2))["model"] == "other/x"
        stage.chat.entered("/resume 1")
        await stage.tape.until(lambda: stage.tape.lines[-2:] == ["", "> first"])
        stage.chat.entered("/quit")
        assert stage.tape.left == 0

    play(script)


# --- the connection alone -----------------------------------------------------------------------------------------------------


def test_calls_fail_when_the_connection_ends(tmp_path: Path) -> None:
    """A call under way raises Unreachable; so does every later one; events end with an empty list."""

    async def main() -> None:
        daemon = FakeDaemon(home(tmp_path).socket)
        await daemon.start()
        connection = await Connection.open(home(tmp_path), {}, start=False)
        daemon.cut_before.add("daemon/status")
        for _ in range(2):
            with pytest.raises(Unreachable):
                await connection.call("daemon/status", {})
        assert await connection.events() == []
        await daemon.stop()

    asyncio.run(main())


def test_garbage_ends_the_connection(tmp_path: Path) -> None:
    """A peer that sends what is no frame is treated as gone."""

    async def main() -> None:
        paths = home(tmp_path)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"[]\n")
            await reader.read()
            writer.close()

        async with await asyncio.start_unix_server(serve, paths.socket):
            with pytest.raises(Unreachable):
                await Connection.open(paths, {}, start=False)

    asyncio.run(main())


def test_another_protocol_is_not_dialled_again(tmp_path: Path) -> None:
    """A version mismatch is raised at once, with the way out."""

    async def main() -> None:
        daemon = FakeDaemon(home(tmp_path).socket)
        daemon.refuse["initialize"] = VersionMismatch("1 here, 2 there")
        await daemon.start()
        with pytest.raises(VersionMismatch, match="daemon restart"):
            await dial(home(tmp_path), {}, may_start=lambda: False, failed=lambda *_: None)
        await daemon.stop()

    asyncio.run(main())


def test_dialling_backs_off_within_bounds(tmp_path: Path) -> None:
    """The pauses double up to the longest; `failed` hears of each attempt and may give up."""

    async def main() -> None:
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)

        def failed(attempt: int, error: AgentError) -> None:
            if attempt > 9:
                raise error

        with pytest.raises(Unreachable):
            await dial(home(tmp_path), {}, may_start=lambda: False, failed=failed, sleep=sleep)
        assert pauses[:3] == [0.05, 0.1, 0.2]
        assert pauses[-2:] == [3.0, 3.0]

    asyncio.run(main())


def test_a_daemon_that_cannot_start_ends_the_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong configuration at the first start is the chat's error; a missing daemon is started, in a thread."""

    def refuse(paths: Paths, *, start: bool) -> Any:
        assert start
        raise ConfigError("config.toml, line 3: model")

    monkeypatch.setattr(connection_module, "_socket", refuse)

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await Stage(tmp_path).chat.run()
        assert caught.group_contains(ConfigError)

    asyncio.run(main())


def test_requests_over_the_frame_limit_are_refused_here(tmp_path: Path) -> None:
    """A message that no frame can hold is an error with advice, not a broken connection."""

    async def main() -> None:
        daemon = FakeDaemon(home(tmp_path).socket)
        await daemon.start()
        connection = await Connection.open(home(tmp_path), {}, start=False)
        with pytest.raises(AgentError, match="put long text in a file"):
            await connection.call("session/prompt", {"text": "x" * (4 * 1024 * 1024)})
        assert json.dumps(await connection.call("model/list", {}))
        connection.close()
        await daemon.stop()

    asyncio.run(main())
