"""The process around a daemon: its lock, and what it checks and sets up before it becomes the next one."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import structlog

from agentd import process
from agentd.logs import Logs
from agentd.process import ThisProcess, locked
from agentwire import config
from agentwire.errors import ConfigError, Conflict


def environ(home: Path, **more: str) -> dict[str, str]:
    return {"AGENTD_HOME": str(home), "HOME": str(home), **more}


@pytest.fixture
def this(home: Path) -> ThisProcess:
    found = config.load(environ(home))
    return ThisProcess(config=found, overrides=["turn.max_steps=7"], logs=logs(home, found), check=accept)


async def accept(_: config.Config) -> None:
    pass


def logs(home: Path, found: config.Config) -> Logs:
    made = Logs(found.log, default_file=str(home / "log"), secrets=(), stderr=False)
    structlog.reset_defaults()
    return made


# --- the lock --------------------------------------------------------------------------------------------------------------------


def test_lock_is_not_inherited_by_children(home: Path) -> None:
    """A tool that outlives the daemon must not keep the next one from starting."""
    with locked(str(home / "lock")) as descriptor:
        assert not os.get_inheritable(descriptor)
        assert (home / "lock").read_text() == f"{os.getpid()}\n"


def test_lock_of_the_run_before_us_is_ours(home: Path) -> None:
    """It is held all the time: nobody comes in between."""
    before = os.open(home / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(before, fcntl.LOCK_EX)
    with locked(str(home / "lock"), before), pytest.raises(Conflict), locked(str(home / "lock")):
        pass


def test_who_only_looks_is_no_daemon(home: Path) -> None:
    """`agentctl daemon stop` holds the lock for the moment in which it looks who holds it."""
    looking = os.open(home / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(looking, fcntl.LOCK_EX)
    timer = threading.Timer(process._GLANCE_SECONDS * 2, os.close, [looking])
    timer.start()
    with locked(str(home / "lock")):
        pass
    timer.join()


# --- what comes next -------------------------------------------------------------------------------------------------------------


async def test_configuration_is_read_as_at_the_start(this: ThisProcess, home: Path) -> None:
    """With the options of the command line on top; what no daemon could be built from is an error, too."""
    (home / "config").mkdir()
    (home / "config/config.toml").write_text("turn.max_steps = 3\ndaemon.shutdown_grace = 1")
    found = await this.read(environ(home))
    assert (found.turn.max_steps, found.daemon.shutdown_grace) == (7, 1)

    async def refuse(_: config.Config) -> None:
        raise ConfigError("no such provider")

    with pytest.raises(ConfigError, match="provider"):
        await ThisProcess(config=this.config, overrides=(), logs=this.logs, check=refuse).read(environ(home))


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"LOG_LEVEL": "loud"}, ConfigError, "log.level"),
        ({"AGENTD_SOCKET": "/elsewhere/s"}, Conflict, "/elsewhere/s"),
        ({"AGENTD_HOME": "/elsewhere"}, Conflict, "/elsewhere"),
        ({"A=B": "x"}, ConfigError, "A=B"),
        ({"A": "x\0y"}, ConfigError, "'A'"),
    ],
)
async def test_what_could_not_start_is_refused(
    more: dict[str, str], error: type[Exception], said: str, this: ThisProcess, home: Path
) -> None:
    """While the daemon runs on: a wrong value, another place, what is no environment."""
    with pytest.raises(error, match=said):
        await this.successor({**environ(home), **more})


async def test_program_that_is_gone(this: ThisProcess, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade has removed it: said before anything stops."""
    monkeypatch.setattr(sys, "executable", str(home / "python"))
    with pytest.raises(ConfigError, match="cannot be executed"):
        await this.successor(environ(home))


BECOME = """
import os, signal, sys
from agentd import process
os.chdir("/")
os.environ |= {"NOTIFY_SOCKET": "/n", "OLD": "1"}
os.umask(0o077)
sys.executable = sys.argv[1]
process._FROZEN = len(sys.argv) > 2
lock = os.open("/dev/null", os.O_RDONLY)
process.become({"NEW": "2", "WATCHDOG_USEC": "5", "LD_LIBRARY_PATH": "/b"}, ["a.b=c"], {"agentd-lock": lock}, 0o027)
"""
PROGRAM = f"""#!{sys.executable} -I
import json, os, signal, sys
umask = os.umask(0)
hangup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
print(json.dumps([sys.argv[1:], dict(os.environ), umask, hangup, os.readlink("/proc/self/fd/3"), os.getpid()]))
"""


@pytest.mark.parametrize("frozen", [False, True])
def test_the_next_program(frozen: bool, home: Path) -> None:
    """Same process, the user's umask, deaf to SIGHUP until it listens; the environment given, and the bond with the manager."""
    program = home / "program"
    program.write_text(PROGRAM)
    program.chmod(0o700)
    started = subprocess.Popen(
        [sys.executable, "-c", BECOME, str(program), *(["frozen"] if frozen else [])], stdout=subprocess.PIPE
    )
    out, _ = started.communicate(timeout=30)
    arguments, environment, umask, deaf, third, pid = json.loads(out)
    assert arguments == (["daemon", "run", "--", "-c", "a.b=c"] if frozen else ["-P", "-m", "agentd.main", "-c", "a.b=c"])
    assert (umask, deaf, third, pid) == (0o027, True, "/dev/null", started.pid)
    listen = {"LISTEN_PID": str(pid), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "agentd-lock"}
    expected = {"NEW": "2", "NOTIFY_SOCKET": "/n", **listen}
    own = {name: value for name, value in environment.items() if not name.startswith(("LC_", "PWD", "__"))}
    assert own == expected | ({"PYINSTALLER_RESET_ENVIRONMENT": "1"} if frozen else {"LD_LIBRARY_PATH": "/b"})
