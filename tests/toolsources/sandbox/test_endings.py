"""Whatever runs inside of walls ends with them: real processes that do their best to live on."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from agentd.ports import Sandbox
from agentwire.errors import ToolError
from tests.fakes.processes import PATIENCE, Mailbox, gone, mailbox
from tests.fakes.walls import Place, everything

STUBBORN = {
    "a background child": "sleep {mark} &",
    "one in a session of its own": "setsid sleep {mark} &",
    "one forked twice": "(setsid sh -c '(setsid sleep {mark} &) &' &)",
    "one that ignores signals": "(trap '' TERM INT HUP QUIT; sleep {mark}) & (trap '' TERM; exec setsid nohup sleep {mark}) &",
    "many": "for i in $(seq 50); do setsid sleep {mark} & done",
}


def alive(mark: str) -> list[int]:
    """Pids, as seen from outside, of whatever has the mark in its arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def new_mark() -> str:
    """An argument for sleep that nobody else has."""
    return f"{1000 + secrets.randbelow(1000)}.{secrets.randbits(60)}"


@pytest.mark.parametrize("script", STUBBORN.values(), ids=STUBBORN)
@pytest.mark.parametrize("ending", ["exit", "kill", "cancel", "bypass"])
async def test_nothing_survives(place: Place, script: str, ending: str) -> None:
    """When the scope is left nothing is alive any more, whether the command ended, was killed or its caller cancelled."""
    mark = new_mark()
    walls = Sandbox(whole=True, network=True) if ending == "bypass" else place.walls
    wait = "" if ending == "exit" else "wait; exec sleep 1000"
    command = ["sh", "-c", f"{script.format(mark=mark)}\necho begun\n{wait}"]
    with trio.CancelScope() as scope:
        async with place.spawner.start(command, place.profile(walls)) as process:
            await process.go()
            assert await process.receive() == b"begun\n"
            if ending == "exit":
                assert await process.wait() == 0
            elif ending == "kill":
                await process.kill()
                assert alive(mark) == []
            else:
                scope.cancel()
                await process.wait()
    assert alive(mark) == []


async def test_background_child_keeps_nobody_waiting(place: Place) -> None:
    """The command is over when it exits, though a child of its own holds the pipe; then that ends, too."""
    mark = new_mark()
    async with place.spawner.start(["sh", "-c", f"setsid sleep {mark} & echo said"], place.profile(place.walls)) as process:
        await process.go()
        assert await process.wait() == 0
        assert await everything(process) == b"said\n"
    assert alive(mark) == []


async def test_nothing_runs_before_go(place: Place) -> None:
    """A child that is never told to go has done nothing when it ends."""
    made = place.workspace / "made"
    async with place.spawner.start(["touch", "made"], place.profile(place.walls)) as process:
        assert await process.receive(2) == b"r\n"
    assert not _exists(made)
    async with place.spawner.start(["touch", "made"], place.profile(place.walls)) as process:
        await process.go()
        assert await process.wait() == 0
    assert _exists(made)


async def test_exit_codes_come_out(place: Place) -> None:
    """A command's own, and for one that was killed 128 and the signal's number, as a shell says it."""
    assert (await place.run("exit 7")).code == 7
    assert (await place.run("kill -9 $$")).code == 128 + signal.SIGKILL


async def test_walls_that_cannot_stand(place: Place) -> None:
    """What bubblewrap says when it fails is the error's text; the command has not run."""
    with pytest.raises(ToolError, match=r"the process ended before it could begin: bwrap: Can't chdir to .*/outside"):
        await place.run("true", cwd=place.outside)


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program"])
async def test_a_program_that_does_not_exist(place: Place, program: str) -> None:
    """It is said in the same words as without walls."""
    with pytest.raises(ToolError, match=f"^cannot start {program}: no such program$"):
        await place.run(program, "argument")


async def test_a_place_that_is_needed_twice(place: Place) -> None:
    """A directory that was made to be kept stays until the last child that needs it has ended."""
    kept = place.workspace / ".agentd"
    async with place.spawner.start(["cat"], place.profile(place.walls)) as first:
        await first.go()
        assert (await place.run("true")).code == 0
        assert _exists(kept)
    assert not _exists(kept)


async def test_limits(place: Place) -> None:
    """No core files; as many processes as a build needs, and not as many as a fork bomb makes."""
    said = (await place.run("ulimit -c; bash -c 'ulimit -u'")).said.split()
    assert said[0] == "0" and int(said[1]) <= 16384


@pytest.mark.slow
async def test_a_fork_bomb_hurts_itself(place: Place) -> None:
    """The machine goes on, and afterwards nothing is left of it."""
    bomb = "import os\nwhile True:\n  try: os.fork()\n  except OSError: break\nimport signal; signal.pause()"
    with trio.move_on_after(3):
        await place.run(sys.executable, "-c", f"import resource; resource.setrlimit(resource.RLIMIT_NPROC, (200, 200))\n{bomb}")
    assert (await place.run("true")).code == 0


# --- the end of the daemon -------------------------------------------------------------------------------------------------------

DAEMON = """
import sys, trio
from agentd.ports import Profile, Sandbox
from agentd.spawn import TrioSpawner
from agentd.toolsources.sandbox.bubblewrap import Bubblewrap
cache, workspace, mark, box = sys.argv[1:]

async def main():
    spawner, walls = TrioSpawner(walls=Bubblewrap(cache)), Sandbox(write=(workspace,))
    profile = Profile(cwd=workspace, environment={"PATH": "/usr/bin:/bin"}, sandbox=walls, gated=True, silent=True)
    async with spawner.start(["true"], profile) as process:  # it is tried out before
        await process.go()
    print("spawning", file=open(box, "w"), flush=True)
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(one, spawner, profile)

async def one(spawner, profile):
    async with spawner.start(["sh", "-c", f"touch ran; setsid sleep {mark}"], profile) as process:
        await process.go()
        print("running", file=open(box, "w"), flush=True)
        await process.wait()

trio.run(main)
"""  # fmt: skip
FAST = 5
ALL = 60


@pytest.fixture(name="box")
def _box() -> Iterator[Mailbox]:
    with mailbox() as made:
        yield made


@pytest.mark.parametrize("rounds", [FAST, pytest.param(ALL, marks=pytest.mark.slow)])
async def test_the_daemon_is_killed_while_it_spawns(place: Place, box: Mailbox, rounds: int) -> None:
    """kill -9 of the parent, at moments spread over the time in which children are set up: each time nothing is left of them."""
    for each in range(rounds):
        mark = new_mark()
        daemon = _daemon(place, mark, box)
        try:
            assert await box.read() == "spawning"
            await trio.sleep(0.05 * each / rounds)  # the moment is what is tried out
        finally:
            daemon.kill()
            daemon.wait()
        await _all_gone(str(place.workspace), mark)
        while not box.empty():
            await box.read()


async def test_the_daemon_is_killed_while_they_run(place: Place, box: Mailbox) -> None:
    """The same when the commands run, in sessions of their own."""
    mark = new_mark()
    daemon = _daemon(place, mark, box)
    said = [await box.read() for _ in range(5)]
    assert said == ["spawning", *["running"] * 4]
    daemon.kill()
    daemon.wait()
    await _all_gone(str(place.workspace), mark)


def _daemon(place: Place, mark: str, box: Mailbox) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", DAEMON, str(place.root / "cache"), str(place.workspace), mark, box.path]
    return subprocess.Popen(argv, start_new_session=True)


async def _all_gone(*words: str) -> None:
    """Until nothing that has one of these words among its arguments lives; fails if something stays."""
    with trio.fail_after(PATIENCE):
        while left := [pid for word in words for pid in alive(word)]:  # who is still being set up starts others
            for pid in left:
                await gone(pid)


def _exists(path: Path) -> bool:
    return path.exists()
