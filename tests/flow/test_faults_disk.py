"""The real daemon on a full disk: writes are refused, reading works, nothing that happened is lost, and it goes on by itself.

The data directory is a 3 MiB tmpfs in a mount namespace of the daemon's own, which dies with it; we look into it through /proc.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trio

from agentwire.errors import StorageFull, StoreError
from tests.fakes.history import ends, iterate, outcomes, valid
from tests.fakes.real import Daemon, Home, Models, Peer, call, eventually, rule, say

pytestmark = pytest.mark.slow

TOOLS = """
import os
from agentd.tool import tool

HOME = os.path.expanduser("~")

@tool(policy="allow")
def work(size: int) -> str:
    "Does something that must be done once, says so, and ends when it is let go."
    with open(HOME + "/done", "a") as file:
        file.write(os.environ["AGENTD_CALL_ID"] + "\\n")
    with open(HOME + "/gate") as gate:
        gate.read()
    return "x" * size
"""
RULES = [
    rule("work small", call("work", size=10), after_tools=0),
    rule("work large", call("work", size=200_000), after_tools=0),
    rule("slowly", {"verb": "tokens", "count": 40, "delay": 0.02}),
    rule("", say("Well.")),
]


def wrapper(data: Path) -> list[str]:
    """Programs that start the rest of the command line with a small tmpfs at `data`."""
    own = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    return [*own, "sh", "-c", 'mount -t tmpfs -o size=3m,mode=0700 none "$0" && exec "$@"', str(data)]


def refused(command: Sequence[str]) -> str:
    """Why this machine does not let us mount; empty if it does."""
    if shutil.which("unshare") is None:
        return "util-linux is not installed"
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode else ""


class Disk:
    """The daemon's small disk."""

    def __init__(self, daemon: Daemon) -> None:
        self._filler = Path(f"/proc/{daemon.pid}/root{daemon.home.data}/filler")

    def fill(self) -> None:
        with open(self._filler, "ab", buffering=0) as file:
            for size in (65536, 4096, 512):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def free(self) -> None:
        self._filler.unlink()


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(AGENTD_DAEMON_SHUTDOWN_GRACE="2") as home:
        home.data.mkdir(mode=0o700)
        if reason := refused(wrapper(home.data)):
            pytest.skip(f"no small disk can be mounted here: {reason}")
        home.write("config/tools/work.py", TOOLS)
        os.mkfifo(home.path / "gate")
        yield home


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


@pytest.fixture
def daemon(home: Home, models: Models) -> Daemon:
    return home.start(models, wrapper=wrapper(home.data))


async def exhaust(peer: Peer, disk: Disk) -> None:
    """Fill the disk and use up what the log's files have in reserve, until not even a title can be written."""
    disk.fill()
    spare = (await peer.call("session/list"))["sessions"][-1]["id"]
    try:
        for number in range(20_000):
            await peer.call("session/rename", session=spare, title=f"{number} " * 30)
    except StorageFull as error:
        assert "space" in error.message  # noqa: PT017 - which of the many calls it is does not matter
        return
    pytest.fail("the disk is never full")


async def let_go(home: Home) -> None:
    """Let the tool that waits go on."""
    async with await trio.open_file(home.path / "gate", "w") as gate:
        await gate.write("go")


async def test_writes_are_refused_and_reading_works_until_space_returns(daemon: Daemon, models: Models) -> None:
    """`storage_full` for every write, no model request for it; lists, history and status answer; then it works again."""
    disk = Disk(daemon)
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "first")
        await peer.until("turn_finished")
        await exhaust(peer, disk)
        asked = len(models.requests())
        before = await peer.log(session)
        with pytest.raises(StorageFull) as refusal:
            await peer.prompt(session, "second", key="k")
        assert refusal.value.retryable
        with pytest.raises(StorageFull):
            await peer.call("session/create", cwd="/")
        status = await peer.call("daemon/status")
        assert status["storage"]["full"]
        assert [row["id"] for row in (await peer.call("session/list"))["sessions"]] == [session]
        assert await peer.log(session) == before, "a half record"
        assert len(models.requests()) == asked
        disk.free()
        assert await peer.prompt(session, "second", key="k")
        await peer.until("turn_finished", turn=2, outcome="done")
        assert not (await peer.call("daemon/status"))["storage"]["full"]
        log = await peer.log(session)
        valid(log)
        assert ends(log) == {1: "done", 2: "done"}
    assert await daemon.stop() == 0


@pytest.mark.parametrize("size", ["small", "large"])
async def test_the_outcome_of_a_running_tool_is_kept_and_the_turn_goes_on_by_itself(daemon: Daemon, home: Home, size: str) -> None:
    """What has happened is written when it can be; nothing is done twice; a large output too."""
    disk = Disk(daemon)
    async with daemon.connect() as peer, daemon.connect() as other:
        session = await peer.create()
        await peer.prompt(session, f"work {size}")
        await peer.until("tool_started")
        await eventually((home.path / "done").exists)
        await exhaust(other, disk)
        await let_go(home)
        await eventually(lambda: "function_worker" not in " ".join(home.processes().values()), "the tool's end")
        assert (await other.call("session/get", session=session))["status"] == "running"
        assert not outcomes(await other.log(session))
        disk.free()
        assert (await peer.until("tool_finished"))["data"]["outcome"] == "ok"
        assert (await peer.until("turn_finished"))["data"]["outcome"] == "done"
        assert len(list(iterate(home.path / "done"))) == 1
        valid(await peer.log(session))


async def test_a_reply_that_streams_is_shown_and_kept(daemon: Daemon) -> None:
    """The disk fills up in the middle of a reply: its reader sees all of it, and it is in the log when there is space again."""
    disk = Disk(daemon)
    async with daemon.connect() as peer, daemon.connect() as other:
        session = await peer.create()
        await peer.prompt(session, "slowly")
        await peer.until("delta")
        await exhaust(other, disk)
        while not (await peer.until("delta"))["data"]["parts"][-1]["text"].endswith("w39 "):
            pass
        disk.free()
        message = (await peer.until("assistant_message"))["data"]
        assert "".join(part["text"] for part in message["parts"]) == "".join(f"w{number} " for number in range(40))
        await peer.until("turn_finished", outcome="done")


@pytest.mark.parametrize("prompt", ["", "slowly", "work small"])
async def test_a_full_disk_keeps_nobody_from_stopping(daemon: Daemon, home: Home, prompt: str) -> None:
    """SIGTERM ends it in good time with 0, also while an outcome waits for space; nothing of it lives on."""
    disk = Disk(daemon)
    async with daemon.connect() as peer, daemon.connect() as other:
        session = await peer.create()
        if prompt:
            await peer.prompt(session, prompt)
            await peer.until("tool_started" if "work" in prompt else "delta")
        await exhaust(other, disk)
    daemon.signal()
    assert await daemon.ended() == 0
    await eventually(lambda: not home.processes(), "the end of everything")


@pytest.mark.parametrize("prompt", ["slowly", "work small"])
async def test_a_turn_that_is_cancelled_on_a_full_disk_ends_when_space_returns(daemon: Daemon, prompt: str) -> None:
    """The end of a turn is an outcome too: however long it takes, it is written, and the session goes on."""
    disk = Disk(daemon)
    async with daemon.connect() as peer, daemon.connect() as other:
        session = await peer.create()
        await peer.prompt(session, prompt)
        await peer.until("tool_started" if "work" in prompt else "delta")
        await exhaust(other, disk)
        assert (await other.call("session/cancel", session=session))["turn"] == 1
        await eventually(lambda: "function_worker" not in " ".join(daemon.home.processes().values()), "the tool's end")
        with trio.move_on_after(2):  # longer than a stopping daemon would try
            await peer.until("turn_finished")
            pytest.fail("written on a full disk")
        disk.free()
        await peer.until("turn_finished", outcome="cancelled")
        await peer.prompt(session, "and now?")
        await peer.until("turn_finished", turn=2, outcome="done")


def on_what_is_left(home: Home, spare: int) -> list[str]:
    """A wrapper with a small disk that has a copy of an earlier data directory on it, and only `spare` KiB of space left."""
    steps = ["mount -t tmpfs -o size=3m,mode=0700 none $0", "cp $0.before/* $0"]
    steps += ["{ cat /dev/zero >$0/filler || :; } 2>/dev/null", f"truncate -s -{spare}K $0/filler", 'exec "$@"']
    return [*wrapper(home.data)[:-2], " && ".join(steps), str(home.data)]


async def test_a_start_on_a_full_disk(home: Home, models: Models) -> None:
    """It can be read and says that it is full; where SQLite has no room at all to open its file, one line says so."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "first")
        await peer.until("turn_finished")
    assert await daemon.stop() == 0
    shutil.copytree(home.data, f"{home.data}.before")
    ended = home.refuse(wrapper=on_what_is_left(home, 0))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "space left" in ended.stderr
    full = home.start(models, wrapper=on_what_is_left(home, 128))
    async with full.connect() as peer:
        assert ends(await peer.log(session)) == {1: "done"}
        with pytest.raises(StorageFull):
            await peer.prompt(session, os.urandom(250_000).hex())
        Disk(full).free()
        await peer.call("session/watch", session=session)
        await peer.prompt(session, "second")
        await peer.until("turn_finished", turn=2, outcome="done")
    assert await full.stop() == 0


async def test_a_log_that_cannot_be_written_any_more_ends_the_daemon(models: Models) -> None:
    """Somebody else holds the database for longer than it waits: whoever waits is told, exit 1, and a new start is as before."""
    with Home() as home:
        daemon = home.start(models)
        async with daemon.connect() as peer:
            session = await peer.create()
            with home.locked():
                with pytest.raises(StoreError, match="locked"):
                    await peer.prompt(session, "hello", key="k")
                assert await daemon.ended() == 1
            assert "locked" in home.stderr
        daemon = home.start(models)
        async with daemon.connect() as peer:
            valid(await peer.log(session))
            await peer.call("session/watch", session=session)
            await peer.prompt(session, "hello", key="k")
            await peer.until("turn_finished", turn=1, outcome="done")
