"""Structured logs: one line an event, as text for people or JSON for machines, to a file and, in the foreground, to stderr.

Theory of operation: structlog's filtering logger makes levels that are off nearly free; what is on passes a few processors, then
`_Line`, which removes secrets and makes one line, then `_Sink`, which writes it with one system call. Nothing on this way raises: a
full disk costs log lines, which are counted and confessed, and never a turn. Loggers look their settings up at every call,
which takes 4 us, so that a reload reaches all of them.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from agentd.log_file import LogFile
from agentwire.config import LogConfig


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Inside, an import of `package` fails as if it were not installed, unless it is loaded already."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


# Where rich is installed, structlog loads it for a console renderer that we do not use: a tenth of the daemon.
with _without("rich"):
    import structlog
    from structlog.typing import EventDict, WrappedLogger

# Shorter values are words ("none", "token") that would black out innocent text.
_SHORTEST_SECRET = 8
_SECRET_KEYS = ("api_key", "token", "authorization", "password", "secret", "cookie")
_MASK = "***"
_LOST_TEXT = b"... %d log lines were lost: the log could not be written"
_LOST_JSON = b'{"level": "warning", "event": "log lines were lost: the log could not be written", "lost": %d}'
_DEEPEST = 8


class Logs:
    """All logging of this process: to `log.file` (else `default_file`), 0600 in a directory 0700, and to stderr if asked.

    `secrets` never appear in it. Error handling: ConfigError if the file cannot be opened; after that logging never raises.
    """

    def __init__(self, log: LogConfig, *, default_file: str, secrets: Sequence[str], stderr: bool) -> None:
        self._default_file, self._stderr = default_file, stderr
        self._secrets: set[str] = set()
        self._file = LogFile(self._path(log), max_bytes=log.max_bytes, keep=log.keep)
        self._install(log, secrets)
        _adopt_libraries()

    def reconfigure(self, log: LogConfig, secrets: Sequence[str]) -> None:
        """As if begun with these, in the file that has the name now. Raises ConfigError, and then nothing has changed."""
        self._file.change(self._path(log), max_bytes=log.max_bytes, keep=log.keep)
        self._install(log, secrets)

    @property
    def descriptor(self) -> int:
        """Of the log file, whichever that is, for what writes past us when the process breaks down."""
        return self._file.descriptor

    def _path(self, log: LogConfig) -> str:
        return log.file or self._default_file

    def _install(self, log: LogConfig, secrets: Sequence[str]) -> None:
        as_json = log.format == "json"
        self._secrets.update(secrets)  # what was secret stays so: it may still be in use
        sink = _Sink([self._file.write, *([_write_stderr] if self._stderr else [])], _LOST_JSON if as_json else _LOST_TEXT)
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                _Line(self._secrets, as_json=as_json),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[log.level.upper()]),
            logger_factory=lambda *_: sink,
            cache_logger_on_first_use=False,
        )


class _Sink:
    """The logger structlog writes to: every method takes a finished line. `ways`: each says whether it took all of it."""

    def __init__(self, ways: Sequence[Callable[[bytes], bool]], confession: bytes) -> None:
        self._ways = ways
        self._confession = confession
        self._lost = 0

    def msg(self, line: str) -> None:
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if self._lost:
            # The leading newline ends a line that was cut off.
            data = b"\n" + self._confession % self._lost + b"\n" + data
        written = [write(data) for write in self._ways]
        self._lost = 0 if written[0] else self._lost + 1

    debug = info = warning = error = critical = msg


def _write_stderr(data: bytes) -> bool:
    try:
        return os.write(2, data) == len(data)
    except OSError:
        return False


class _Line:
    """The last processor: an event dict in, one line without secrets out."""

    def __init__(self, secrets: Collection[str], *, as_json: bool) -> None:
        # Longest first: a secret may contain another.
        self._secrets = sorted({secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len, reverse=True)
        self._render = _json if as_json else _text

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        try:
            return self._render(self._clean(event, _DEEPEST))
        except Exception as error:  # noqa: BLE001 - whatever a caller logged, logging it must not break him
            lost = {"timestamp": str(event.get("timestamp")), "level": method, "event": "a log event could not be shown"}
            return self._render({**lost, "error": type(error).__name__})

    def _clean(self, value: Any, depth: int) -> Any:
        """Plain JSON values without secrets; anything else as its repr."""
        if value is None or type(value) in (bool, int, float):
            return value
        if depth and isinstance(value, Mapping):
            return {self._hide(str(key)): self._clean_item(str(key), item, depth) for key, item in value.items()}
        if depth and isinstance(value, list | tuple | set | frozenset):
            return [self._clean(item, depth - 1) for item in value]
        return self._hide(value if isinstance(value, str) else _repr(value))

    def _clean_item(self, key: str, item: Any, depth: int) -> Any:
        # Numbers are no secrets: first_token=0.12 is a time.
        secret = key.lower().replace("-", "_").endswith(_SECRET_KEYS) and not isinstance(item, int | float)
        return _MASK if secret and item else self._clean(item, depth - 1)

    def _hide(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return text


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - somebody's __repr__
        return f"<{type(value).__name__}>"


def _json(event: dict[str, Any]) -> str:
    """Pure ASCII, so that no terminal obeys what a model or a tool put into it."""
    return json.dumps({key: event.pop(key, "") for key in ("timestamp", "level", "event")} | event)


def _text(event: dict[str, Any]) -> str:
    """`timestamp level event key=value ...`; a traceback follows, indented, so that its lines pass for no log lines."""
    head = f"{event.pop('timestamp')} {event.pop('level'):<8} {_visible(str(event.pop('event', '')))}"
    traceback = event.pop("exception", None)
    pairs = (f"{_visible(key)}={_field(value)}" for key, value in event.items())
    line = " ".join((head, *pairs))
    if traceback:
        line += "".join(f"\n    {_visible(row)}" for row in str(traceback).splitlines())
    return line


def _field(value: Any) -> str:
    if isinstance(value, str) and value and " " not in value and "=" not in value and '"' not in value:
        return _visible(value)
    return _visible(json.dumps(value, ensure_ascii=False))


def _visible(text: str) -> str:
    """Control characters, escape sequences, bidirectional marks and line ends as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


class _Bridge(logging.Handler):
    """Records of libraries that log with the standard library become events of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's format string that does not fit its arguments
            text = str(record.msg)
        level = min(record.levelno // 10 * 10, logging.CRITICAL)  # a level between two known ones counts as the lower
        structlog.get_logger().log(level, text, logger=record.name, exc_info=record.exc_info)


def _adopt_libraries() -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Bridge)]:
        root.removeHandler(handler)
    root.addHandler(_Bridge())
    root.setLevel(logging.WARNING)
    for name in ("httpx2", "httpcore2", "openai", "hypercorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
