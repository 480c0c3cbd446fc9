"""The shell tool on real processes: what a model is told of each way in which a command can end."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from agentd.ports import Process, Profile, Sandbox, ToolContext, ToolOutcome
from agentd.spawn import TrioSpawner
from agentd.toolsources.shell.hints import hints
from agentd.toolsources.shell.tools import ShellTools
from agentwire.errors import ToolError
from agentwire.types import Access, BlobRef, Text
from tests.fakes.processes import Mailbox, children, gone, mailbox, open_fds

TOOLS = ShellTools(TrioSpawner(), lambda: 30.0)


def context(cwd: Path, progress: Callable[[str], None] = lambda _: None) -> ToolContext:
    return ToolContext(session="s", cwd=str(cwd), environment={}, roots=(str(cwd),), call="c1", progress=progress)


def text_of(outcome: ToolOutcome) -> str:
    (part,) = outcome.parts
    assert isinstance(part, Text)
    return part.text


async def ran(folder: Path, command: str, **arguments: Any) -> tuple[str, str]:
    outcome = await TOOLS.call("shell", {"command": command, **arguments}, context(folder))
    return outcome.outcome, text_of(outcome)


async def test_output_and_exit_code(tmp_path: Path) -> None:
    """Both outputs in the order they were written; a code that is not 0 is an error."""
    assert await ran(tmp_path, "echo one; echo two >&2; echo three") == ("ok", "one\ntwo\nthree\n[exit code 0]")
    assert await ran(tmp_path, "echo wrong >&2; exit 3") == ("error", "wrong\n[exit code 3]")
    assert await ran(tmp_path, "true") == ("ok", "[exit code 0]")
    assert await ran(tmp_path, "kill -9 $$") == ("error", "[killed by signal 9 (Killed)]")


async def test_the_environment_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's, the call's id and what programs need; nothing of the daemon's own, whose keys are there."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    told = ToolContext(session="s", cwd=str(tmp_path), environment={"PATH": "/opt/x:/usr/bin:/bin"}, call="c7")
    said = text_of(await TOOLS.call("shell", {"command": "env"}, told))
    found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    assert found["PATH"] == "/opt/x:/usr/bin:/bin" and found["AGENTD_CALL_ID"] == "c7" and found["TERM"] == "dumb"
    assert found["HOME"] == os.environ["HOME"] and "secret" not in said


async def test_it_runs_where_it_is_told_to(tmp_path: Path) -> None:
    """In the session's directory, or one relative to it; one that is not there is said."""
    (tmp_path / "sub").mkdir()
    assert await ran(tmp_path, "pwd", cwd="sub") == ("ok", f"{tmp_path}/sub\n[exit code 0]")
    with pytest.raises(ToolError, match="none cannot be used"):
        await ran(tmp_path, "pwd", cwd="none")


async def test_input_is_empty(tmp_path: Path) -> None:
    """A command that asks hears at once that nobody is there."""
    assert await ran(tmp_path, "cat; read -r x || echo nobody") == ("ok", "nobody\n[exit code 0]")


async def test_a_timeout_kills_and_tells(tmp_path: Path) -> None:
    """What was said before is there, and what it started is gone."""
    with mailbox() as box:
        outcome, text = await ran(tmp_path, f"echo begun; sleep 1000 & echo $! > {box.path}; wait", timeout=0.3)
        await gone(await box.pid())
    assert outcome == "error" and text.startswith("begun\n[killed after 0.3 s, which is its timeout; ")


async def test_what_is_left_behind_ends_with_it(tmp_path: Path) -> None:
    """A background child that holds the output open: the call is over soon after the shell, and says why."""
    with mailbox() as box:
        outcome, text = await ran(tmp_path, f"sleep 1000 & echo $! > {box.path}; echo done")
        await gone(await box.pid())
    assert outcome == "ok" and text.startswith("done\n[exit code 0]\n[what it had left running was ended")


class Falling:
    """A spawner whose walls fall before anything is in them."""

    def start(self, argv: Sequence[str], profile: Profile) -> AbstractAsyncContextManager[Process]:
        return TrioSpawner().start(["/bin/false"], evolve(profile, gated=False))


async def test_one_that_cannot_begin_is_an_error_of_the_tool(tmp_path: Path) -> None:
    """And of nothing else: no group of errors comes out of the call."""
    with pytest.raises(ToolError, match="before it could begin"):
        await ShellTools(Falling(), lambda: 30.0).call("shell", {"command": "true"}, context(tmp_path))


async def test_cancelling_kills_it(tmp_path: Path) -> None:
    """All of it; no child and no descriptor is left here."""
    before = children(), open_fds()
    with mailbox() as box:
        pids = await _cancelled(tmp_path, box)
        for pid in pids:
            await gone(pid)
    assert (children(), open_fds()) == before


async def _cancelled(tmp_path: Path, box: Mailbox) -> list[int]:
    command = f"trap '' TERM; sleep 1000 & echo $! > {box.path}; echo $$ > {box.path}; wait"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(TOOLS.call, "shell", {"command": command}, context(tmp_path))
        pids = [await box.pid(), await box.pid()]
        nursery.cancel_scope.cancel()
    return pids


async def test_its_last_lines_are_told_while_it_runs(tmp_path: Path) -> None:
    """To whoever watches; made readable like the result."""
    told: list[str] = []
    heard = trio.Event()

    def progress(tail: str) -> None:
        told.append(tail)
        heard.set()

    with mailbox() as box:
        command = f"printf 'x\\n%.0s' $(seq 50); printf '1%%\\r2%%'; read -r x < {box.path}"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(TOOLS.call, "shell", {"command": command}, context(tmp_path, progress))
            with trio.fail_after(10):
                await heard.wait()
            box.write("go")
    assert told[0] == "x\n" * 19 + "2%" and len(told) == 1


async def test_a_long_result_is_shown_by_its_ends(tmp_path: Path) -> None:
    """How it ended is among them; the whole is kept."""
    kept: list[bytes] = []

    async def blob(content: bytes, media: str) -> BlobRef:
        await trio.lowlevel.checkpoint()
        kept.append(content)
        return BlobRef(blob="b" * 64, bytes=len(content), media=media)

    outcome = await TOOLS.call("shell", {"command": "seq 20000; exit 1"}, evolve(context(tmp_path), blob=blob))
    (part,) = outcome.parts
    assert isinstance(part, BlobRef) and outcome.outcome == "error" and part.bytes == len(kept[0])
    assert part.head.startswith("1\n2\n") and part.tail.endswith("\n20000\n[exit code 1]")
    assert len(part.head) == len(part.tail) == 15_000 and kept[0].decode().endswith(part.tail)


@pytest.mark.slow
async def test_200_megabytes_do_no_harm(tmp_path: Path) -> None:
    """The beginning and the end are kept, the rest is counted."""
    outcome, text = await ran(tmp_path, "echo first; yes | head -c 200000000; echo last")
    assert outcome == "ok" and text.startswith("first\ny\n") and text.endswith("last\n[exit code 0]")
    assert len(text) < 9_000_000 and re.search(r"\[19\d,\d{3},\d{3} bytes are left out here\]", text)


async def test_hostile_output_is_tamed(tmp_path: Path) -> None:
    """Escapes, NULs, bytes that are no text, a line without an end."""
    command = r"printf '\033]0;evil\007\033[2Jred\0 \377%60s' end; sleep 0"
    assert await ran(tmp_path, command) == ("ok", f"red\\0 \ufffd{'end':>60}\n[exit code 0]")
    outcome, text = await ran(tmp_path, "head -c 100000 /bin/sh")
    assert outcome == "ok" and text == "[100,000 bytes that are no text; write them to a file to work with them]\n[exit code 0]"


# --- before anything happens -----------------------------------------------------------------------------------------------------


def test_what_it_would_do_is_told(tmp_path: Path) -> None:
    """The commands in it, the network if it is asked for, and the directory if it is not in the workspace."""
    place = context(tmp_path)
    assert TOOLS.accesses("shell", {"command": "ls -l", "timeout": "5", "cwd": None}, place) == [
        Access(kind="command", words=("ls", "-l"))
    ]
    asked = TOOLS.accesses("shell", {"command": "ls", "network": True, "cwd": "/"}, place)
    assert (asked[0], asked[-1]) == (Access(kind="read", target="/"), Access(kind="network", target="*"))
    assert list(TOOLS.accesses("job", {"action": "list"}, place)) == []


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("shell", {}, "command"),
        ("shell", {"command": ""}, "command"),
        ("shell", {"command": "a\0b"}, "command"),
        ("shell", {"command": "x" * 70_000}, "command"),
        ("shell", {"command": "ls", "timeout": 0}, "timeout"),
        ("shell", {"command": "ls", "timeout": 1e6}, "timeout"),
        ("shell", {"command": "ls", "shell": "zsh"}, "no argument shell"),
        ("job", {"action": "stop"}, "action"),
        ("job", {"action": "kill"}, "number"),
        ("job", {"action": "output", "number": 0}, "number"),
    ],
)
def test_arguments_that_do_not_fit(tmp_path: Path, name: str, arguments: dict[str, Any], reason: str) -> None:
    """Are said before anything is planned."""
    with pytest.raises(ToolError, match=reason):
        TOOLS.accesses(name, arguments, context(tmp_path))


async def test_without_a_session_there_are_no_jobs(tmp_path: Path) -> None:
    """A call that nobody looks after starts none."""
    for name, arguments in (("shell", {"command": "ls", "background": True}), ("job", {"action": "list"})):
        with pytest.raises(ToolError, match="no background jobs"):
            await TOOLS.call(name, arguments, context(tmp_path))


# --- hints -----------------------------------------------------------------------------------------------------------------------

WALLS = Sandbox(write=("/w",))


@pytest.mark.parametrize(
    "said",
    [
        "fatal: unable to access 'https://x/': Could not resolve host: x",
        "curl: (6) Could not resolve host: x",
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
        "npm ERR! code EAI_AGAIN",
        "ssh: Could not resolve hostname x: Temporary failure in name resolution",
        "connect: Network is unreachable",
    ],
)
def test_a_wall_around_the_network_is_named(said: str) -> None:
    """A program sees an odd failure; the model is told what to do. Not where there is no such wall."""
    (hint,) = hints(said, WALLS)
    assert hint == "the network is off in the sandbox; call again with network: true, which asks the user"
    assert hints(said, Sandbox(network=True)) == hints(said, None) == []


def test_a_wall_around_files_is_named() -> None:
    """And where a command may write."""
    (hint,) = hints("touch: cannot touch '/etc/x': Read-only file system", WALLS)
    assert hint.startswith("the sandbox lets commands write only in /w and /tmp")
    assert hints("OSError: [Errno 30] Read-only file system: '/x'", Sandbox()) == [
        "nothing can be written in the sandbox in this mode"
    ]
    assert hints("Read-only file system", Sandbox(whole=True)) == [] and hints("permission denied", WALLS) == []
