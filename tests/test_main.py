"""`agentd` from its arguments to its exit code, in this process: the lock, the starter's pipe, and what a failed start says.

tests/flow/test_faults_start.py shows the same on the real process.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from attrs import define

from agentctl.client import Client
from agentd.main import main
from agentwire import __version__
from agentwire.errors import ConfigError, StoreError
from agentwire.paths import locate


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[None]:
    """A daemon sets its process up for good; the next test's is as it was."""
    monkeypatch.setenv("AGENTD_HOME", str(home))
    root = logging.getLogger()
    handlers, level, umask = root.handlers[:], root.level, os.umask(0)
    os.umask(umask)
    yield
    os.umask(umask)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@define
class Pipe:
    """What a starter passes and reads."""

    reading: int
    writing: int

    def all(self) -> bytes:
        """Until end of file: it comes only if the daemon has closed its end."""
        with open(self.reading, "rb") as file:
            return file.read()


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Pipe:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    monkeypatch.setenv("AGENTD_READY_FD", str(writing))
    return Pipe(reading, writing)


@pytest.fixture
def other(home: Path) -> Iterator[None]:
    """Another daemon holds the lock of this data directory."""
    lock = Path(locate(os.environ, os.getuid()).lock)
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        file.write("4242\n")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- arguments -------------------------------------------------------------------------------------------------------------------


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, nothing is started."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"agentd {__version__}\n"


def test_unknown_argument_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, as every program does."""
    with pytest.raises(SystemExit) as ended:
        main(["--surely-not"])
    assert ended.value.code == 2 and "--surely-not" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "module"), [("_llama", "agentd.providers.llama_child"), ("_function", "agentd.toolsources.function_worker")]
)
def test_frozen_program_is_its_own_children(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The single binary has no interpreter to run them with; their exit codes are theirs."""

    def child(arguments: list[str]) -> int:
        assert arguments == ["--version"]  # even that is the child's
        return 7

    monkeypatch.setattr(f"{module}.main", child)
    assert main([name, "--version"]) == 7


# --- a start that fails ----------------------------------------------------------------------------------------------------------


def test_wrong_value_is_exit_78_and_told_to_the_starter(pipe: Pipe, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same sentence for the terminal and for who started us; nothing was made."""
    assert main(["-c", "turn.max_steps=many"]) == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("agentd: ") and "turn.max_steps" in line
    told = json.loads(pipe.all())
    assert told["error"]["data"]["code"] == ConfigError.code and line == f"agentd: {told['error']['message']}"
    assert list(home.iterdir()) == []


def test_second_daemon_names_the_first(other: None, pipe: Pipe, capsys: pytest.CaptureFixture[str]) -> None:
    """It touches neither the database nor the socket."""
    assert main([]) == 1
    assert "pid 4242" in capsys.readouterr().err
    assert json.loads(pipe.all())["error"]["data"]["code"] == "conflict"
    paths = locate(os.environ, os.getuid())
    assert not os.path.exists(paths.database) and not os.path.exists(paths.socket)
    assert Path(paths.lock).read_text() == "4242\n"


@pytest.mark.parametrize("where", ["home", "socket"])
def test_directory_that_cannot_be_used_is_named(
    where: str, pipe: Pipe, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 78: somebody has to choose another place. (A file in its way stops root too.)"""
    (home / "file").touch()
    monkeypatch.setenv("AGENTD_HOME" if where == "home" else "AGENTD_SOCKET", str(home / "file" / "place"))
    assert main([]) == 78
    error = capsys.readouterr().err
    assert str(home / "file") in error and error.count("\n") == 1
    assert json.loads(pipe.all())["error"]["data"]["code"] == ConfigError.code


def test_log_that_cannot_be_opened_is_exit_1(pipe: Pipe, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder where the database belongs: said with what to do, and in the log file, too."""
    paths = locate(os.environ, os.getuid())
    Path(paths.database).mkdir(parents=True)
    assert main([]) == 1
    assert "Check the permissions" in capsys.readouterr().err
    assert json.loads(pipe.all())["error"]["data"]["code"] == StoreError.code
    assert "store_failed" in Path(paths.log_file).read_text()


@pytest.mark.parametrize("value", ["", "99999", "-1", "²", "three", "9" * 40])
def test_variable_that_names_no_pipe_keeps_nobody_from_starting(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be left over in an environment; here the configuration's error comes through."""
    monkeypatch.setenv("AGENTD_READY_FD", value)
    assert main(["-c", "turn.max_steps=many"]) == 78
    assert "turn.max_steps" in capsys.readouterr().err and "AGENTD_READY_FD" not in os.environ


def test_starter_that_did_not_wait_is_no_error(pipe: Pipe) -> None:
    """Its end of the pipe is closed already; ours is closed all the same."""
    os.close(pipe.reading)
    assert main(["-c", "turn.max_steps=many"]) == 78
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(pipe.writing)


@pytest.mark.parametrize(
    "failure",
    [
        ExceptionGroup("", [ConfigError("wrong")]),
        ExceptionGroup("", [ExceptionGroup("", [ConfigError("wrong"), StoreError("too")])]),
    ],
    ids=["group", "nested"],
)
def test_cause_is_found_in_groups(
    failure: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nurseries wrap what happens in them; people read the sentence."""
    _fail_with(failure, monkeypatch)
    assert main([]) == 78
    assert capsys.readouterr().err == "agentd: wrong\n"


def test_bug_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its traceback, even if an expected error came with it."""
    _fail_with(ExceptionGroup("", [ConfigError("wrong"), ZeroDivisionError()]), monkeypatch)
    with pytest.raises(ExceptionGroup) as caught:
        main([])
    assert caught.value.subgroup(ZeroDivisionError) is not None


def _fail_with(failure: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(trio, "run", fail)


# --- a run -----------------------------------------------------------------------------------------------------------------------


def test_runs_until_it_is_asked_to_stop(pipe: Pipe) -> None:
    """`ready` and end of file once clients can connect; the lock holds our pid; at the end all that could be in the way is gone."""
    paths = locate(os.environ, os.getuid())
    seen: dict[str, Any] = {}

    def user() -> None:
        seen["ready"] = pipe.all()
        seen["lock"] = Path(paths.lock).read_text()
        seen["modes"] = [os.stat(path).st_mode & 0o777 for path in (paths.database, paths.log_file, paths.socket, paths.data)]
        client = Client.connect(paths, start=False)
        seen["status"] = client.call("daemon/status", {})
        client.call("daemon/stop", {})
        client.close()

    thread = threading.Thread(target=user)
    thread.start()
    code = main([])
    thread.join(10)
    assert code == 0 and seen["ready"] == b"ready\n"
    assert seen["lock"] == f"{os.getpid()}\n" and seen["status"]["pid"] == os.getpid()
    assert seen["modes"] == [0o600, 0o600, 0o600, 0o700]
    assert not os.path.exists(paths.socket) and not os.path.exists(f"{paths.database}-wal")
    with open(paths.lock) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lines = Path(paths.log_file).read_text().splitlines()
    assert " started " in lines[0] and " stopped" in lines[-1]
