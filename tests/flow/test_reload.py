"""A daemon that reads its configuration again, moves its log, and is watched, as a process: signals, files, a stuck loop."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from agentwire.errors import ConfigError
from tests.client.cli import agentctl, start
from tests.fakes.real import Daemon, Home, eventually


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as home:
        yield home


async def status(daemon: Daemon) -> dict[str, Any]:
    async with daemon.connect() as peer:
        found: dict[str, Any] = await peer.call("daemon/status")
        return found


# --- the configuration ------------------------------------------------------------------------------------------------------------


async def test_hangup_reads_the_configuration_again(home: Home) -> None:
    """What counts at once counts; what waits is named by `status`; a wrong file changes nothing, and is named until mended."""
    daemon = home.start()
    home.write("config/config.toml", 'log.level = "debug"\nlog.format = "json"\nstore.backups = 3\n')
    daemon.signal(signal.SIGHUP)
    await eventually(lambda: '"configuration_read"' in home.log)
    (warning,) = (await status(daemon))["warnings"]
    assert warning.startswith("store.backups")
    home.write("config/config.toml", "model = 3\n")
    daemon.signal(signal.SIGHUP)
    await eventually(lambda: "configuration_wrong" in home.log)
    assert "config.toml:1: model" in (await status(daemon))["warnings"][0]
    (home.path / "config/config.toml").unlink()
    async with daemon.connect() as peer:
        assert await peer.call("daemon/reload") == {"changed": ["log.level", "log.format"], "needs_restart": []}
    assert (await status(daemon))["warnings"] == []
    assert await daemon.stop() == 0


async def test_new_model_is_that_of_the_next_session(home: Home) -> None:
    """And of `initialize`; a model of no provider is refused."""
    daemon = home.start()
    async with daemon.connect() as peer:
        home.write("config/config.toml", 'model = "openai/new"\nturn.max_steps = 3\n')
        assert (await peer.call("daemon/reload"))["changed"] == ["model", "turn.max_steps"]
        assert (await peer.call("session/create", cwd="/"))["model"] == "openai/new"
        shown = {value["key"]: value["value"] for value in (await peer.call("config/get"))["values"]}
        assert (shown["model"], shown["turn.max_steps"]) == ("openai/new", 3)
        home.write("config/config.toml", 'model = "nobody/knows"\n')
        with pytest.raises(ConfigError, match="nobody"):
            await peer.call("daemon/reload")
    async with daemon.connect() as peer:
        assert peer.initialized["model"] == "openai/new"


def test_reload_in_words(home: Home) -> None:
    """`agentctl daemon reload` says what counts and what waits, as JSON too; a wrong file is exit 78, no daemon exit 3."""
    assert agentctl(home.path, "daemon", "reload").code == 3
    home.start()
    home.write("config/config.toml", "turn.max_steps = 3\nstore.backups = 3\nturn.max_stps = 4\n")
    said = agentctl(home.path, "daemon", "reload")
    assert (said.code, said.out) == (
        0,
        "new values count: turn.max_steps\n",
    ) and "store.backups has a new value, which counts after `agentctl daemon restart`" in said.err
    assert "unknown key turn.max_stps; did you mean turn.max_steps?" in said.err
    answer = agentctl(home.path, "daemon", "reload", "--json").document
    assert answer == {"changed": ["store.backups"], "needs_restart": ["store.backups"]}
    home.write("config/config.toml", "turn.max_steps = 0\n")
    said = agentctl(home.path, "daemon", "reload")
    assert said.code == 78 and "config.toml:1: turn.max_steps" in said.err


# --- the log ----------------------------------------------------------------------------------------------------------------------


async def test_log_goes_on_in_a_new_file(home: Home) -> None:
    """As logrotate does it: rename, SIGHUP. Nothing is lost, the old file is left."""
    daemon, path = home.start(), home.path / "state/log/agentd.log"
    os.rename(path, f"{path}.old")
    daemon.signal(signal.SIGHUP)
    await eventually(lambda: "configuration_read" in home.log)
    assert " started " in (home.path / "state/log/agentd.log.old").read_text() and " started " not in home.log
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_log_is_followed_over_rotations(home: Home) -> None:
    """`daemon logs -f` shows every line once while the file rotates under it."""
    daemon = home.start(AGENTD_LOG_MAX_BYTES="1000", AGENTD_LOG_KEEP="100")
    following = start(home.path, "daemon", "logs", "-f", "-n", "1000")
    assert following.stdout is not None
    for number in range(40):
        daemon.signal(signal.SIGHUP)
        _see(following, number)
    following.send_signal(signal.SIGINT)
    following.communicate(timeout=30)
    assert len(list((home.path / "state/log").glob("agentd.log.*"))) >= 3
    assert all(file.stat().st_size <= 1000 for file in (home.path / "state/log").iterdir())


def _see(following: subprocess.Popen[bytes], number: int) -> None:
    """The line of the reload, after those before it."""
    assert following.stdout is not None
    while b"configuration_read" not in (line := following.stdout.readline()):
        assert line, f"the follower ended before line {number}"


# --- the watchdog -----------------------------------------------------------------------------------------------------------------


class Manager:
    """What a service manager hears."""

    def __init__(self, home: Home) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(home.path / "notify"))
        self._socket.settimeout(30)
        home.environ |= {"NOTIFY_SOCKET": str(home.path / "notify"), "WATCHDOG_USEC": "200000"}

    def hear(self, wanted: bytes) -> None:
        while self._socket.recv(1000) != wanted:
            pass

    def drain(self) -> None:
        while select.select([self._socket], [], [], 0)[0]:
            self._socket.recv(1000)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(home: Home) -> Iterator[Manager]:
    manager = Manager(home)
    yield manager
    manager.close()


async def test_stuck_loop_is_not_fed_for_and_leaves_its_stack(home: Home, manager: Manager) -> None:
    """The loop waits for a file that never comes: the manager hears nothing, the log has where; later, how late it was."""
    daemon = home.start()
    manager.hear(b"READY=1")
    manager.hear(b"WATCHDOG=1")
    (home.path / "config").mkdir(exist_ok=True)
    home.make_fifo("config/config.toml")
    daemon.signal(signal.SIGHUP)
    await eventually(lambda: "loop_stuck" in home.log, "the stuck loop to be noticed")
    assert "read_file" in home.log and "loop_late" not in home.log
    manager.drain()
    await eventually(lambda: os.path.exists(f"/proc/{daemon.pid}"))
    assert select.select([manager._socket], [], [], 0.5)[0] == []
    await trio.to_thread.run_sync(lambda: (home.path / "config/config.toml").write_text(""))
    manager.hear(b"WATCHDOG=1")
    await eventually(lambda: "configuration_read" in home.log)
    assert home.log.count("loop_stuck") == 1 and "process_was_stopped" not in home.log


async def test_stopped_process_is_no_stuck_loop(home: Home, manager: Manager) -> None:
    """SIGSTOP, SIGCONT (a debugger, a frozen group): said for what it was; the watchdog is fed again."""
    daemon = home.start()
    manager.hear(b"WATCHDOG=1")
    daemon.signal(signal.SIGSTOP)
    await eventually(lambda: Path(f"/proc/{daemon.pid}/stat").read_text().split()[2] == "T")
    manager.drain()
    assert select.select([manager._socket], [], [], 2)[0] == []  # longer than any beat may be late
    daemon.signal(signal.SIGCONT)
    manager.hear(b"WATCHDOG=1")
    await eventually(lambda: "process_was_stopped" in home.log)
    assert "loop_stuck" not in home.log and "loop_late" not in home.log
    assert await daemon.stop() == 0


async def test_watchdogs_signal_leaves_the_stacks(home: Home) -> None:
    """SIGABRT, which systemd sends to a loop that is not fed for; also what kills the interpreter itself."""
    daemon = home.start()
    daemon.signal(signal.SIGABRT)
    assert await daemon.ended() == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in home.log and "most recent call first" in home.log


async def test_threads_stay_as_they_are(home: Home, manager: Manager) -> None:
    """One watches the loop; beats make no others."""
    daemon = home.start()
    manager.hear(b"WATCHDOG=1")
    before = len(os.listdir(f"/proc/{daemon.pid}/task"))
    for _ in range(10):
        manager.hear(b"WATCHDOG=1")
    assert len(os.listdir(f"/proc/{daemon.pid}/task")) == before


# --- odds and ends ----------------------------------------------------------------------------------------------------------------


async def test_peer_that_never_speaks_does_not_hold_up_a_stop(home: Home) -> None:
    """It is hung up on; so is one that stops in the middle of a request."""
    daemon = home.start()
    async with daemon.open() as silent, daemon.open() as halting:
        await halting.send(b'{"jsonrpc":"2.0"')
        await eventually(lambda: daemon.home.listens)
        daemon.signal()
        assert await daemon.ended(seconds=5) == 0
        assert await silent.stream.receive_some(1) == b""


@pytest.mark.parametrize("folder", ["data", "."])
def test_start_on_a_full_disk_says_so(folder: str, home: Home) -> None:
    """Not one byte is free: one line with the file, exit 1."""
    own = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*own, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    disk = home.path / "disk"
    disk.mkdir()
    fill = 'mount -t tmpfs -o size=64k,mode=0700 none "$0" && ! head -c 1m /dev/zero > "$0/fill" 2>/dev/null; '
    place = {"AGENTD_HOME": str(disk)} if folder == "." else {"AGENTD_HOME": str(home.path)}
    if folder == "data":
        (home.path / "data").symlink_to(disk)
    ended = home.refuse(wrapper=[*own, "sh", "-c", fill + 'exec "$@"', str(disk)], **place)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.count("\n") == 1 and "No space left on device: /" in ended.stderr


def test_two_starts_at_once_make_one_daemon(home: Home) -> None:
    """While it begins anew as well: the lock is never free."""
    daemon = home.start()
    codes: list[int] = []
    rivals = [threading.Thread(target=lambda: codes.append(home.refuse().returncode)) for _ in range(3)]
    for rival in rivals:
        rival.start()
    assert agentctl(home.path, "daemon", "restart").code == 0
    for rival in rivals:
        rival.join()
    assert codes == [1, 1, 1]
    assert json.loads(agentctl(home.path, "status", "--json").out)["pid"] == daemon.pid
