"""Starts that cannot succeed: one line that says what is wrong and where, and an exit code that says whose fault it is."""

from __future__ import annotations

import os
import shutil
import sqlite3  # noqa: TID251 - spoils a database from outside
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from tests.fakes.real import Home, eventually

CONFIG, ERROR = 78, 1


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as home:
        yield home


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ('[log]\n\nlevel = "loud"\n', "config.toml:3: log.level: expected one of 'debug', 'info', 'warning', 'error', got 'loud'"),
        ("[timeouts]\nstep = -1\n", "config.toml:2: timeouts.step: expected a number of seconds from 0.001 to 86400, got -1"),
        ("[permissions]\nallow = 3\n", "config.toml:2: permissions.allow: expected"),
        ('model = "nobody/knows"\n', "config.toml:1: model: expected a model of a provider that there is (anthropic, "),
        ('[models]\na = "b"\nb = "a"\n', "config.toml:2: models.a (models.a.candidates): expected models that do not lead back"),
        ('\nmodels.a = ["local/x", "nobody/x"]\n', "config.toml:2: models.a (models.a.candidates): expected a model of a provider"),
        ('[parameters."local/*"]\nextra = {messages = []}\n', 'config.toml:2: parameters."local/*".extra: expected only fields'),
        ("[log\n", "config.toml:1: this is not TOML"),
    ],
)
def test_a_wrong_value_is_named_with_file_line_key_and_what_was_expected(home: Home, file: str, complaint: str) -> None:
    """Nobody searches for the typo: exit 78 and one line."""
    path = home.write("config/config.toml", file)
    ended = home.refuse()
    assert ended.returncode == CONFIG
    assert ended.stderr.startswith("agentd: ")
    assert ended.stderr.count("\n") == 1
    assert str(path) in ended.stderr
    assert complaint in ended.stderr


def test_a_wrong_variable_or_option_is_named_too(home: Home) -> None:
    """What is not in a file is named by where it is."""
    assert "variable AGENTD_TURN_MAX_STEPS (turn.max_steps): expected" in home.refuse(AGENTD_TURN_MAX_STEPS="many").stderr
    ended = home.refuse("-c", "turn.max_steps=0")
    assert ended.returncode == CONFIG
    assert "turn.max_steps: expected" in ended.stderr


async def test_a_second_daemon_is_refused_with_the_pid_of_the_first(home: Home) -> None:
    """One daemon per data directory; the first one does not notice."""
    daemon = home.start()
    ended = home.refuse()
    assert ended.returncode == ERROR
    assert f"pid {daemon.pid}" in ended.stderr
    assert "agentctl daemon stop" in ended.stderr
    async with daemon.connect() as peer:
        assert (await peer.call("daemon/status"))["pid"] == daemon.pid


async def test_what_a_killed_daemon_left_behind_keeps_nobody_from_starting(home: Home) -> None:
    """A stale socket and a stale lock file with a foreign pid are nothing."""
    home.start().kill()
    assert home.listens
    (home.data / "agentd.lock").write_text("1\n")
    daemon = home.start()
    async with daemon.connect() as peer:
        assert peer.initialized["pid"] == daemon.pid
    assert await daemon.stop() == 0
    assert not home.listens


@pytest.mark.parametrize("mode", [0o702, *(pytest.param(mode, marks=pytest.mark.slow) for mode in (0o770, 0o777))])
def test_a_socket_directory_that_others_can_write_is_refused(home: Home, mode: int) -> None:
    """Somebody else could put a socket in place of ours: exit 78, with the directory and what to do."""
    run = home.path / "run"
    run.mkdir()
    run.chmod(mode)
    ended = home.refuse()
    assert ended.returncode == CONFIG
    assert str(run) in ended.stderr
    assert "chmod" in ended.stderr


def test_a_socket_directory_that_is_a_link_is_refused(home: Home) -> None:
    """A link leads wherever its owner wants."""
    (home.path / "elsewhere").mkdir(mode=0o700)
    (home.path / "run").symlink_to(home.path / "elsewhere")
    assert home.refuse().returncode == CONFIG


def test_the_socket_is_for_its_owner_alone(home: Home) -> None:
    """Whatever the umask: directory 0700, socket 0600, and so the database and the log."""
    before = os.umask(0)
    try:
        home.start()
    finally:
        os.umask(before)
    modes = {name: (home.path / name).stat().st_mode & 0o777 for name in ("run", "run/agentd.sock", "data", "data/agentd.db")}
    assert modes == {"run": 0o700, "run/agentd.sock": 0o600, "data": 0o700, "data/agentd.db": 0o600}


def powerless() -> list[str]:
    """A wrapper that takes root's power over files from the daemon: the same user (Python may lie below /root), no capability."""
    if os.getuid() != 0:
        return []
    return ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data", "state", "run", "data/agentd.db", "data/agentd.lock"])
def test_what_may_not_be_written_is_named(home: Home, name: str) -> None:
    """No permission: one line with the path, no traceback, nothing half made."""
    home.write("data/agentd.db", "")
    home.write("data/agentd.lock", "")
    path = home.path / name
    if "." not in name:
        path.mkdir(exist_ok=True)
    path.chmod(0o500 if path.is_dir() else 0o400)
    ended = home.refuse(wrapper=powerless())
    path.chmod(0o700)
    assert ended.returncode in (CONFIG, ERROR)
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert str(path) in ended.stderr
    assert "ermission" in ended.stderr or "readonly" in ended.stderr


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + bytes(4096)])
async def test_a_file_that_is_no_database_is_kept_and_said(home: Home, content: bytes) -> None:
    """Never silently empty: a new log begins, the file is kept as it was, and everybody hears of it."""
    path = home.write("data/agentd.db", "")
    path.write_bytes(content)
    daemon = home.start()
    (kept,) = [file for file in home.data.glob("agentd.db.corrupt-*") if not file.name.endswith(("-wal", "-shm"))]
    assert kept.read_bytes() == content
    assert home.stderr.count(str(kept)) == 1
    async with daemon.connect() as peer:
        (warning,) = (await peer.call("daemon/status"))["warnings"]
        assert str(path) in warning and str(kept) in warning


def test_a_newer_database_is_refused_and_left_alone(home: Home) -> None:
    """A release that does not know the schema must not write into it: exit 78."""
    home.start().kill()
    database = sqlite3.connect(home.data / "agentd.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    ended = home.refuse()
    assert ended.returncode == CONFIG
    assert "newer release" in ended.stderr


def test_whoever_started_it_hears_why_it_failed(home: Home) -> None:
    """The error object goes to AGENTD_READY_FD as well, so that `agentctl` can show it."""
    with pytest.raises(AssertionError, match=r"config_error.*log\.level"):
        home.start(LOG_LEVEL="loud")


@pytest.mark.slow
@pytest.mark.parametrize(
    "environ", [{"SSL_CERT_FILE": "/nowhere/ca.pem"}, {"HTTPS_PROXY": "nonsense://x"}, {"ALL_PROXY": "http://[::"}]
)
async def test_settings_that_break_the_http_library_cost_a_turn_and_not_the_daemon(home: Home, environ: dict[str, str]) -> None:
    """The client that announces a prompt warms the library up: what fails there is said by the turn."""
    home.environ |= {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", **environ}
    daemon = home.start()
    async with daemon.connect(prompting=True) as peer:
        session = await peer.create()
        await peer.prompt(session, "hello")
        end = await peer.until("turn_finished")
        assert end["data"]["outcome"] == "failed"
        assert end["data"]["error"]["code"] in ("provider_error", "provider_down")
    assert await daemon.stop() == 0


async def test_without_its_weights_the_local_model_says_how_to_get_them(home: Home) -> None:
    """A fresh machine without set-up: the turn fails with the command that helps, and the session is usable."""
    daemon = home.start()
    async with daemon.connect(prompting=True) as peer:
        session = await peer.create()
        await peer.prompt(session, "hello")
        end = await peer.until("turn_finished")
        assert "agentctl model pull" in end["data"]["error"]["message"]


@pytest.mark.slow
async def test_a_vanished_socket_directory_does_not_end_the_daemon(home: Home) -> None:
    """Something cleans the run directory: clients that are there go on, SIGTERM still ends it in good order."""
    daemon = home.start()
    async with daemon.connect() as peer:
        shutil.rmtree(home.path / "run")
        assert (await peer.call("daemon/status"))["pid"] == daemon.pid
        assert await daemon.stop() == 0


@pytest.mark.slow
async def test_more_clients_than_descriptors_wait_and_spoil_nothing(home: Home) -> None:
    """With all descriptors taken the daemon does not die or spin: who is there is served, and the others when some leave."""
    limited = [
        sys.executable,
        "-c",
        "import os,resource,sys;resource.setrlimit(resource.RLIMIT_NOFILE,(48,48));os.execvp(sys.argv[1],sys.argv[1:])",
    ]
    daemon = home.start(wrapper=limited)
    async with daemon.connect() as first:
        async with AsyncExitStack() as crowd:
            for _ in range(60):
                await crowd.enter_async_context(daemon.open())
            await eventually(lambda: "accept_starved" in home.log, "descriptors to run out")
            assert (await first.call("daemon/status"))["pid"] == daemon.pid
        async with daemon.connect() as late:
            assert (await late.call("daemon/status"))["pid"] == daemon.pid
    assert await daemon.stop() == 0
