"""Logs hold what happened and no secret, show what is hostile, and never cost their caller anything but time."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

from agentd import logs
from agentwire.config import LogConfig
from agentwire.errors import ConfigError

SECRET = "sk-0123456789"
LONG = 5000
"""More than PIPE_BUF: a pipe may take the beginning of such a line and refuse the rest."""


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging is a process-wide matter: every test leaves it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Log:
    """A configured log and what was written to it."""

    def __init__(
        self, path: Path, form: Literal["text", "json"], level: Literal["debug", "info", "warning", "error"] = "info"
    ) -> None:
        self.path = path
        config = LogConfig(level, form, str(path))
        self.logs = logs.Logs(config, default_file="/nowhere", secrets=[SECRET, "short", ""], stderr=False)
        self.logger: Any = structlog.get_logger()

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()

    def last(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.lines()[-1])
        return event


@pytest.fixture
def text(tmp_path: Path) -> Log:
    return Log(tmp_path / "log", "text")


@pytest.fixture
def as_json(tmp_path: Path) -> Log:
    return Log(tmp_path / "log", "json")


def test_text_line(text: Log) -> None:
    """UTC time in ISO form, level, event, then the fields; values with spaces in quotes."""
    text.logger.info("turn started", turn=3, model="local/x", note="two words", empty="")
    (line,) = text.lines()
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z info     turn started turn=3 model=local/x note="two words" empty=""', line
    )


def test_json_line(as_json: Log) -> None:
    """One object a line; structured values stay structured, others become their repr."""
    as_json.logger.warning("tool ended", call={"id": "c", "codes": (1, 2)}, path=Path("/x"), none=None)
    event = as_json.last()
    assert list(event)[:3] == ["timestamp", "level", "event"]
    assert re.fullmatch(r"[\d-]{10}T[\d:.]+Z", event.pop("timestamp"))
    assert event == {
        "level": "warning",
        "event": "tool ended",
        "call": {"id": "c", "codes": [1, 2]},
        "path": repr(Path("/x")),
        "none": None,
    }


def test_levels_below_are_not_even_looked_at(tmp_path: Path) -> None:
    """A level that is off is a function that does nothing."""
    log = Log(tmp_path / "log", "text", "warning")
    bound = log.logger.bind()
    assert bound.debug.__code__.co_code == bound.info.__code__.co_code
    log.logger.info("quiet")
    log.logger.error("loud")
    assert [line.split(maxsplit=1)[1] for line in log.lines()] == ["error    loud"]


def test_file_is_private_and_appended_to(tmp_path: Path) -> None:
    """0600 in directories of 0700; a restart goes on in the same file."""
    path = tmp_path / "a" / "b" / "agentd.log"
    for boot in ("first", "second"):
        Log(path, "text").logger.info(boot)
    assert [line.rsplit(maxsplit=1)[1] for line in path.read_text().splitlines()] == ["first", "second"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)] == [0o700, 0o700]


def test_default_file_and_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a file of its own the log goes to the default one, and in the foreground to stderr as well."""
    logs.Logs(LogConfig(), default_file=str(tmp_path / "log"), secrets=(), stderr=True)
    structlog.get_logger().info("both")
    assert (tmp_path / "log").read_text() == capfd.readouterr().err
    assert "both" in (tmp_path / "log").read_text()


def test_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """One error that says which file, why and what to do."""
    (tmp_path / "file").touch()
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "file" / "log", "File exists|Not a directory")):
        with pytest.raises(ConfigError, match=f"cannot open the log file {re.escape(str(path))}: ({reason}); set log.file"):
            Log(path, "text")


def test_pipe_without_a_reader_is_an_error_and_no_wait(tmp_path: Path) -> None:
    """Opening a FIFO would block until somebody reads."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="No such device"):
        Log(tmp_path / "fifo", "text")


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_replaced_everywhere(tmp_path: Path, form: Literal["text", "json"]) -> None:
    """In the event, in values at any depth, in keys, in objects and in tracebacks."""
    log = Log(tmp_path / "log", form)
    spoken = f"key {SECRET}"
    log.logger.info(spoken, a=[{"b": (f"x{SECRET}y",)}], c={SECRET: 1}, d=Path(f"/{SECRET}"), short="short")
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.logger.exception("failed")
    written = log.path.read_text()
    assert SECRET not in written
    assert "ValueError: ***" in written
    assert "x***y" in written
    assert "short" in written


def test_values_of_secret_keys_are_masked(as_json: Log) -> None:
    """By the key's name, whatever the value; numbers and absent values are no secrets."""
    secret = {"api_key": "a", "Authorization": "b", "X-Api-Key": "c", "access_token": {"d": 1}}
    as_json.logger.info("x", headers=secret, first_token=0.12, token=None, tokens="many")
    event = as_json.last()
    assert event["headers"] == dict.fromkeys(secret, "***")
    assert (event["first_token"], event["token"], event["tokens"]) == (0.12, None, "many")


def test_control_characters_are_visible(text: Log) -> None:
    """No line of a model or a tool moves the cursor, hides text or forges a log line."""
    text.logger.info("a\x1b[2Jb\nc", out="\x9b1m\u202e", plain="grün ☂")
    (line,) = text.lines()
    assert r"a\x1b[2Jb\nc" in line
    assert r"\x9b1m\u202e" in line
    assert '"grün ☂"' in line
    assert line.isprintable()


def test_json_is_ascii(as_json: Log) -> None:
    """What would steer a terminal is escaped, and lone surrogates do no harm."""
    as_json.logger.info("a\x1b\x9b\u202e\udcff")
    assert as_json.path.read_bytes().isascii()
    assert as_json.last()["event"] == "a\x1b\x9b\u202e\udcff"


def test_traceback_in_text(text: Log) -> None:
    """It follows its line, indented: a line in an exception's text cannot pass for a log line."""
    try:
        raise ValueError("x\n2026-01-01T00:00:00Z info     forged")
    except ValueError:
        text.logger.exception("failed")
    head, *rows = text.lines()
    assert "error    failed" in head
    assert all(row.startswith("    ") for row in rows)
    assert rows[-1].endswith("forged")


class Hostile:
    """An object that cannot even say what it is."""

    def __repr__(self) -> str:
        raise RuntimeError


def test_nothing_a_caller_logs_raises(as_json: Log) -> None:
    """Broken reprs, endless nesting, numbers without end: the line is there, as well as may be."""
    endless: list[object] = []
    endless.append(endless)
    as_json.logger.info("x", hostile=Hostile(), endless=endless, surrogate="\udcff")
    assert as_json.last()["hostile"] == "<Hostile>"
    as_json.logger.info("x", number=10**5000)
    assert as_json.last()["event"] == "a log event could not be shown"


def test_full_disk_costs_lines_and_is_confessed(capfd: pytest.CaptureFixture[str]) -> None:
    """A write that fails raises nothing; stderr goes on, and the count of what was lost is written as soon as that works."""
    config = LogConfig("info", "text", "/dev/full")
    logs.Logs(config, default_file="", secrets=(), stderr=True)
    logger = structlog.get_logger()
    for number in range(3):
        logger.info("line", number=number)
    shown = capfd.readouterr().err
    assert shown.count("line number=") == 3
    assert "... 2 log lines were lost" in shown


@pytest.mark.parametrize("form", ["text", "json"])
def test_lost_lines_are_counted(tmp_path: Path, form: Literal["text", "json"]) -> None:
    """After a cut-off line the log goes on, on a line of its own, in its own format."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    log = Log(tmp_path / "log", form)
    while log_to(log, writer):
        pass
    drained = os.read(reader, 1 << 20)
    assert not drained.endswith(b"\n")
    assert log_to(log, writer)
    cut, confession, line = os.read(reader, 1 << 20).splitlines()
    os.close(reader)
    os.close(writer)
    assert cut == b""
    assert b"log lines were lost" in confession
    assert b"x" * LONG in line
    if form == "json":
        assert json.loads(confession)["lost"] == 1


def log_to(log: Log, descriptor: int) -> bool:
    """Log a long line to a descriptor; whether all of it arrived."""
    sink = log.logger.bind()._logger
    sink._ways = [lambda data: os.write(descriptor, data) == len(data)]
    log.logger.info("x" * LONG)
    return not sink._lost


@pytest.mark.parametrize("name", ["httpx2", "openai._base_client", "hypercorn.error", "whatever"])
def test_libraries_are_heard_from_warning_on(as_json: Log, name: str) -> None:
    """What libraries log with the standard library arrives, with their name and without secrets; their chatter does not."""
    logger = logging.getLogger(name)
    logger.info("chatter")
    logger.warning("careful with %s", SECRET)
    (line,) = as_json.lines()
    event = json.loads(line)
    assert (event["level"], event["event"], event["logger"]) == ("warning", "careful with ***", name)


def test_odd_records_of_libraries(as_json: Log) -> None:
    """Levels of their own count as the next lower one; a format that does not fit is shown as it is; tracebacks come along."""
    logger = logging.getLogger("odd")
    logger.log(35, "between")
    assert as_json.last()["level"] == "warning"
    logger.log(99, "above")
    assert as_json.last()["level"] == "critical"
    # Past pytest's own handler, which makes a failure of it.
    logs._Bridge().handle(logging.makeLogRecord({"name": "odd", "levelno": 40, "msg": "%d items", "args": ("many",)}))
    assert as_json.last()["event"] == "%d items"
    try:
        raise ValueError("inner")
    except ValueError:
        logger.exception("failed")
    assert "ValueError: inner" in as_json.last()["exception"]


def test_configuring_again_replaces(tmp_path: Path) -> None:
    """Libraries' records go to the newest log only."""
    first, second = Log(tmp_path / "1", "text"), Log(tmp_path / "2", "text")
    logging.getLogger("x").warning("once")
    assert (len(first.lines()), len(second.lines())) == (0, 1)


def test_context_is_logged(as_json: Log) -> None:
    """What a task has bound (its session, its turn) is on every line it logs."""
    with structlog.contextvars.bound_contextvars(session="s1"):
        as_json.logger.info("x")
    assert as_json.last()["session"] == "s1"


def test_everything_can_be_replaced_while_it_runs(tmp_path: Path) -> None:
    """File, level, form and secrets; loggers that are in use follow. What was secret stays so."""
    log = Log(tmp_path / "1", "text")
    used: Any = structlog.get_logger().bind(bound=True)
    log.logger.debug("unheard")
    log.logs.reconfigure(LogConfig("debug", "json", str(tmp_path / "2")), ["sk-another-one"])
    log.logger.debug("heard", old=SECRET, new="sk-another-one")
    used.info("bound logger")
    assert (tmp_path / "1").read_text() == ""
    event, bound = (tmp_path / "2").read_text().splitlines()
    assert (json.loads(event)["event"], json.loads(event)["old"], json.loads(event)["new"]) == ("heard", "***", "***")
    assert "bound logger bound=true" in bound  # in its old form, but where the log is now


def test_file_that_cannot_be_opened_changes_nothing(tmp_path: Path) -> None:
    """The log goes on where it was, as it was."""
    log = Log(tmp_path / "log", "text")
    with pytest.raises(ConfigError):
        log.logs.reconfigure(LogConfig("debug", "json", str(tmp_path)), ())
    log.logger.debug("unheard")
    log.logger.info("heard")
    (line,) = log.lines()
    assert line.endswith("heard")


def test_log_rotates(tmp_path: Path) -> None:
    """By `log.max_bytes` and `log.keep`."""
    log = Log(tmp_path / "log", "text")
    log.logs.reconfigure(LogConfig("info", "text", str(tmp_path / "log"), max_bytes=1000, keep=1), ())
    for _ in range(3):
        log.logger.info("x" * 600)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
