"""Children start clean, talk, and end with all that they started: shown on real processes."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
from collections.abc import Iterator

import pytest
import trio

from agentd.ports import Process, Profile
from agentd.spawn import STDERR_RING, TrioSpawner, restore_library_path
from agentwire.errors import ToolError
from tests.fakes.processes import Mailbox, children, gone, mailbox, open_fds

PATH = "/usr/local/bin:/usr/bin:/bin"
PROFILE = Profile(cwd="/", environment={"PATH": PATH})
spawner = TrioSpawner()


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """After every test here: no child, no zombie, no open file more than before."""
    fds, pids = open_fds(), children()
    yield
    assert children() == pids
    assert open_fds() == fds


def shell(script: str, **variables: str) -> list[str]:
    return ["sh", "-c", "\n".join([*(f"{name}='{value}'" for name, value in variables.items()), script])]


async def everything(process: Process) -> bytes:
    said = b""
    while data := await process.receive():
        said += data
    return said


async def test_conversation() -> None:
    """What is sent arrives at stdin, what it says comes back, and the exit code and stderr are known at the end."""
    async with spawner.start(shell("read line; echo got $line; echo oops >&2; exit 3"), PROFILE) as process:
        await process.send(b"hello\n")
        assert await everything(process) == b"got hello\n"
        assert await process.wait() == 3
        assert process.stderr_tail() == "oops\n"


async def test_big_input_and_output() -> None:
    """More than the pipes hold passes in both directions at once, in reads of at most the limit."""
    data = bytes(range(256)) * 4096
    async with spawner.start(["cat"], PROFILE) as process, trio.open_nursery() as nursery:
        nursery.start_soon(process.send, data)
        back = b""
        while len(back) < len(data):
            piece = await process.receive(1000)
            assert 0 < len(piece) <= 1000
            back += piece
    assert back == data


async def test_killed_child_has_negative_code() -> None:
    """A signal is told apart from an exit code."""
    async with spawner.start(shell("kill -TERM $$"), PROFILE) as process:
        assert await process.wait() == -signal.SIGTERM


async def test_everybody_may_wait() -> None:
    """Several tasks may wait for the exit, and again after it."""
    codes: list[int] = []

    async def waits(process: Process) -> None:
        codes.append(await process.wait())

    async with spawner.start(shell("read x; exit 4"), PROFILE) as process:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(waits, process)
            await trio.testing.wait_all_tasks_blocked()
            await process.send(b"\n")
        assert [*codes, await process.wait()] == [4, 4, 4, 4]


async def test_exit_counts_not_the_end_of_the_pipe(box: Mailbox) -> None:
    """A background child that holds the pipe keeps nobody waiting: the output ends after the grace, and the child with it."""
    async with spawner.start(shell("echo said; sleep 1000 & echo $! > $BOX", BOX=box.path), PROFILE) as process:
        left_behind = await box.pid()
        assert await process.wait() == 0
        assert await everything(process) == b"said\n"
        await gone(left_behind)


async def test_output_is_kept_for_a_slow_reader(box: Mailbox) -> None:
    """What was said before the exit can be read long after the group was killed."""
    script = "head -c 60000 /dev/zero; sleep 1000 & echo $! > $BOX"
    async with spawner.start(shell(script, BOX=box.path), PROFILE) as process:
        await gone(await box.pid())
        assert await everything(process) == bytes(60000)


@pytest.mark.parametrize("ending", ["return", "exception", "cancel"])
async def test_leaving_the_scope_kills_the_group(box: Mailbox, ending: str) -> None:
    """However the scope is left, child and grandchild are dead, the child reaped; an exception comes out as it is."""
    pids = []
    with trio.CancelScope() as scope:
        try:
            async with spawner.start(shell("sleep 1000 & echo $! > $BOX; echo $$ > $BOX; wait", BOX=box.path), PROFILE) as process:
                pids = [await box.pid(), await box.pid()]
                if ending == "exception":
                    raise KeyError("mine")
                if ending == "cancel":
                    scope.cancel()
                    await process.receive()
        except KeyError:
            assert ending == "exception"
    assert scope.cancelled_caught is (ending == "cancel")
    for pid in pids:
        await gone(pid)


async def test_kill_ends_the_group_and_can_be_repeated(box: Mailbox) -> None:
    """`kill` returns when the child is dead, also one that ignores other signals, and may be called again."""
    async with spawner.start(
        shell("trap '' TERM INT; echo $$ > $BOX; while :; do sleep 1000; done", BOX=box.path), PROFILE
    ) as process:
        pid = await box.pid()
        await process.kill()
        await gone(pid)
        assert await process.wait() == -signal.SIGKILL
        await process.kill()


async def test_kill_inside_a_shield_while_cancelled() -> None:
    """A user's own shielded clean-up can kill although the scope's tasks are cancelled already."""
    with trio.CancelScope() as scope:
        async with spawner.start(["sleep", "1000"], PROFILE) as process:
            scope.cancel()
            try:
                await process.receive()
            finally:
                with trio.CancelScope(shield=True):
                    await process.kill()
    assert await process.wait() == -signal.SIGKILL


async def test_descendant_in_a_session_of_its_own_survives(box: Mailbox) -> None:
    """The known limit: who calls setsid has left the group, and only a pid namespace would hold it."""
    async with spawner.start(shell("setsid sh -c 'echo $$ > '$BOX'; exec sleep 1000' & wait", BOX=box.path), PROFILE):
        escaped = await box.pid()
    os.kill(escaped, signal.SIGKILL)  # raises if it were dead
    await gone(escaped)


async def test_escaped_pipe_holder_keeps_nobody_waiting(box: Mailbox) -> None:
    """Even one that survives with the pipe in its hand does not hold up a reader or a writer."""
    async with spawner.start(
        shell("setsid sh -c 'echo $$ > '$BOX'; exec sleep 1000' <&0 & exit 0", BOX=box.path), PROFILE
    ) as process:
        escaped = await box.pid()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.send, bytes(1_000_000))
            assert await everything(process) == b""
    os.kill(escaped, signal.SIGKILL)
    await gone(escaped)


async def test_stderr_is_drained_and_its_end_kept() -> None:
    """A child may flood stderr without blocking; the last 64 KiB are kept, bad bytes replaced."""
    script = "head -c 1000000 /dev/zero | tr '\\0' x >&2; printf 'end\\377' >&2"
    async with spawner.start(shell(script), PROFILE) as process:
        assert await process.wait() == 0
        assert process.stderr_tail() == "x" * (STDERR_RING - 4) + "end\N{REPLACEMENT CHARACTER}"


async def test_sending_to_nobody_is_no_error() -> None:
    """What a child that is gone did not read is dropped, however much it is."""
    async with spawner.start(["true"], PROFILE) as process:
        await process.wait()
        await process.send(bytes(1_000_000))


async def test_everything_is_safe_after_the_end() -> None:
    """A process that is kept beyond its scope answers from memory."""
    async with spawner.start(shell("echo out; echo err >&2; exit 7"), PROFILE) as process:
        await process.wait()
    await process.send(b"late")
    assert await process.receive() == b""
    assert process.stderr_tail() == "err\n"
    assert await process.wait() == 7
    await process.kill()


@pytest.mark.parametrize(
    ("program", "cwd", "sentence"),
    [
        ("no-such-program", "/", "cannot start no-such-program: no such program"),
        ("/etc/hostname/x", "/", "cannot start /etc/hostname/x: Not a directory"),
        ("/etc/passwd", "/", "cannot start /etc/passwd: it may not be executed (permission denied)"),
        ("sh", "/no/such/dir", "cannot start sh: its working directory /no/such/dir cannot be used (No such file or directory)"),
        ("sh", "/etc/passwd", "cannot start sh: its working directory /etc/passwd cannot be used (Not a directory)"),
        ("nul\0byte", "/", "cannot start nul\0byte: embedded null byte"),
    ],
)
async def test_what_cannot_start_is_said(program: str, cwd: str, sentence: str) -> None:
    """A program or directory that cannot be used is a ToolError that names it."""
    with pytest.raises(ToolError) as caught:
        async with spawner.start([program], Profile(cwd=cwd, environment={"PATH": PATH})):
            pass
    assert str(caught.value) == sentence


async def test_running_out_of_fds_leaves_nothing() -> None:
    """Whichever open fails for want of fds, it is a ToolError, or the child runs; nothing stays behind (the fixture looks)."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.split()[0]) for entry in open_fds())
    os.close(lowest := os.dup(0))
    outcomes = set()
    try:
        for limit in range(lowest, highest + 14):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
            outcomes.add(await _starts())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert outcomes == {0, "cannot start true: Too many open files"}


async def _starts() -> int | str:
    try:
        async with spawner.start(["true"], PROFILE) as process:
            return await process.wait()
    except ToolError as error:
        return str(error)


async def test_no_pidfd_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that cannot be watched (the system is out of files) is killed and reaped, and said not to have started."""

    def refuse(pid: int) -> int:
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(ToolError, match="cannot start sleep: Too many open files in system"):
        async with spawner.start(["sleep", "1000"], PROFILE):
            pass


async def test_child_starts_clean() -> None:
    """It has the profile's environment and directory, three open files, a session of its own: nothing of ours."""
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(300)]
    for fd in opened:
        os.set_inheritable(fd, True)
    script = "import os; print(sorted(os.environ), os.getcwd(), len(os.listdir('/proc/self/fd')) - 1, os.getsid(0) == os.getpid())"
    try:
        profile = Profile(cwd="/usr", environment={"ONLY": "this"})
        async with spawner.start([sys.executable, "-I", "-S", "-c", script], profile) as process:
            said = (await everything(process)).decode()
    finally:
        for fd in opened:
            os.close(fd)
    # LC_CTYPE is what Python itself sets in the C locale (PEP 538).
    assert said.replace("'LC_CTYPE', ", "") == "['ONLY'] /usr 3 True\n"


async def test_umask_is_the_spawners() -> None:
    """Children make files as the user does, not as the daemon, whose own files are private."""
    for given, wanted in ((0o022, b"0022\n"), (0o077, b"0077\n")):
        async with TrioSpawner(umask=given).start(["sh", "-c", "umask"], PROFILE) as process:
            assert await everything(process) == wanted


@pytest.mark.parametrize(
    ("given", "frozen", "wanted"),
    [
        ({"LD_LIBRARY_PATH": "/mine"}, False, {"LD_LIBRARY_PATH": "/mine"}),
        ({"LD_LIBRARY_PATH": "/bundle"}, True, {}),
        ({"LD_LIBRARY_PATH": "/bundle", "LD_LIBRARY_PATH_ORIG": "/mine"}, True, {"LD_LIBRARY_PATH": "/mine"}),
        ({"LD_LIBRARY_PATH_ORIG": "/mine", "A": "b"}, True, {"LD_LIBRARY_PATH": "/mine", "A": "b"}),
    ],
)
def test_library_path_of_the_bundle_is_not_passed_on(given: dict[str, str], frozen: bool, wanted: dict[str, str]) -> None:
    """Programs started from the single binary load the system's libraries, not the bundle's."""
    assert restore_library_path(given, frozen=frozen) == wanted


async def test_cancelled_at_any_moment_leaves_nothing(box: Mailbox) -> None:
    """Cancelled before, during and after the first exchange, 20 times each: the fixture finds nothing left."""
    script = shell("sleep 1000 & echo $! > $BOX; echo $$ > $BOX; read x; echo $x; wait", BOX=box.path)
    for moment in range(60):
        pids: list[int] = []
        with trio.CancelScope() as scope:
            async with spawner.start(script, PROFILE) as process:
                if moment % 3 == 0:
                    scope.cancel()
                pids = [await box.pid(), await box.pid()]
                if moment % 3 == 1:
                    scope.cancel()
                await process.send(b"hi\n")
                assert await process.receive() == b"hi\n"
                scope.cancel()
                await process.wait()
        for pid in pids:
            await gone(pid)
        while not box.empty():  # said before it was killed
            await gone(await box.pid())
