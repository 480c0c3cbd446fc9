"""The real daemon on a file system that the kernel makes read-only, as it does when it finds a fault in it.

The data directory is an ext4 file system in a file, mounted in a namespace of the daemon's own, which dies with it. It cannot be
made writable again while files are open in it (the kernel refuses): the daemon is stopped for that. That it goes on by itself where
the kernel allows it is shown in tests/store/test_wal.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from agentwire.errors import StorageFull
from tests.fakes.history import at_rest, ends, iterate, outcomes, valid
from tests.fakes.real import Daemon, Home, Models, call, eventually, rule, say
from tests.flow.test_faults_disk import TOOLS, let_go, refused

pytestmark = pytest.mark.slow

RULES = [rule("work", call("work", size=10), after_tools=0), rule("", say("Well."))]


def wrapper(home: Home) -> list[str]:
    """Programs that start the rest of the command line with the file system mounted."""
    mount = 'mount -o loop "$0" "$1" && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", mount, str(home.path / "image"), str(home.data)]


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(AGENTD_DAEMON_SHUTDOWN_GRACE="1") as home:
        home.data.mkdir(mode=0o700)
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("e2fsprogs is not installed")
        with open(home.path / "image", "wb") as image:
            image.truncate(16 * 2**20)
        subprocess.run(["mkfs.ext4", "-q", "-F", home.path / "image"], check=True)
        if reason := refused(wrapper(home)):
            pytest.skip(f"no file system can be mounted here: {reason}")
        home.write("config/tools/work.py", TOOLS)
        os.mkfifo(home.path / "gate")
        yield home


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


def give_up_writing(daemon: Daemon) -> None:
    """What ext4 does by itself when it finds a fault (`errors=remount-ro`)."""
    namespace = ["nsenter", "--mount", "--target", str(daemon.pid)]
    subprocess.run([*namespace, "mount", "-o", "remount,abort", daemon.home.data], check=True)


async def test_writes_say_read_only_and_reading_works(home: Home, models: Models) -> None:
    """`storage_full` with that reason; lists, history and status answer; it stops in good order, and the next start is whole."""
    daemon = home.start(models, wrapper=wrapper(home))
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "first")
        await peer.until("turn_finished", outcome="done")
        before = await peer.log(session)
        give_up_writing(daemon)
        for _ in range(2):
            with pytest.raises(StorageFull, match="read-only"):
                await peer.prompt(session, "second")
        assert (await peer.call("daemon/status"))["storage"]["full"]
        assert await peer.log(session) == before
        assert [row["id"] for row in (await peer.call("session/list"))["sessions"]] == [session]
    assert await daemon.stop() == 0
    daemon = home.start(models, wrapper=wrapper(home))
    async with daemon.connect() as peer:
        assert await peer.log(session) == before
        await peer.call("session/watch", session=session)
        await peer.prompt(session, "second")
        await peer.until("turn_finished", turn=2, outcome="done")
        at_rest(await peer.log(session))


async def test_outcome_that_could_not_be_written_is_unknown_to_the_next_start(home: Home, models: Models) -> None:
    """In the middle of a turn: nothing is made up, nothing is done twice, and the turn ends under somebody's eyes."""
    daemon = home.start(models, wrapper=wrapper(home))
    async with daemon.connect() as peer:
        session = await peer.create()
        await peer.prompt(session, "work")
        await peer.until("tool_started")
        await eventually((home.path / "done").exists)
        give_up_writing(daemon)
        await let_go(home)
        await eventually(lambda: "function_worker" not in " ".join(home.processes().values()), "the tool's end")
        valid(log := await peer.log(session))
        assert not outcomes(log)
    assert await daemon.stop() == 0
    daemon = home.start(models, wrapper=wrapper(home))
    async with daemon.connect() as peer:
        await peer.call("session/watch", session=session, after=log[-1]["seq"])
        await peer.until("turn_finished")
        at_rest(log := await peer.log(session))
        assert (list(outcomes(log).values()), list(ends(log).values())) == (["unknown"], ["done"])
    assert len(list(iterate(home.path / "done"))) == 1
