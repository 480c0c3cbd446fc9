"""The child that runs one function of a tools file or module. Standard library and the user's file only: it starts for every call.

The conversation with the daemon, on stdin and stdout:

    child   r\\n                          ready; nothing of the user's has run
    daemon  go {"call", "arguments"}\\n   or `go {}`: describe the file's tools. End of input instead: exit, nothing ran
    child   {"outcome", "bytes"}\\n       and that many bytes of UTF-8 text, then exit

After `go` stdin is a lifeline: the kernel is told to kill our process group with SIGKILL when its other end closes (the daemon
was killed) or says anything more. That needs no watcher thread, and holds while a C extension does not let go of the GIL or a
child of the function goes on alone. What the function prints is collected from a pipe in place of stdout, so that it cannot
spoil the answer, whoever writes it: Python, a C library, a child process.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from agentd.tool import MARK, Declaration
from agentd.toolsources.function_schema import BadArguments, SchemaError, check_arguments, description_of, parameters_of, unwrap

MAX_OUTPUT = 32 * 1024 * 1024  # bytes of an answer; the event log keeps blobs up to this size
CUT = b"\n[cut here: the output is longer than 32 MiB]"
F_SETSIG = 10  # fcntl(2); the fcntl module does not name it
TRACE_LINES = 5  # frames of the user's file shown for an exception


class Answer(NamedTuple):
    outcome: str
    text: str


class Missing(Exception):
    """The file has no such tool."""


def main(argv: list[str]) -> int:
    """`argv`: the tools file, and the name to import it by, if it has one. Runs nothing of the file before `go`; returns the exit
    code."""
    os.write(1, b"r\n")
    line = sys.stdin.buffer.readline()
    if not (line.startswith(b"go ") and line.endswith(b"\n")):
        return 0
    _hold_lifeline()
    answers = os.dup(1)  # not inherited by programs the function starts
    printed = _Printed()
    request = json.loads(line[3:])
    answer = _answer(request, *argv)
    said = printed.finish()
    belongs = "call" in request and answer.outcome != "invalid_arguments"
    _send(answers, answer, said if belongs else b"")
    return 0


def _answer(request: Mapping[str, Any], path: str, name: str = "") -> Answer:
    # A child that reports is worth more than one that dies: even SystemExit is an answer.
    try:
        module = imported(path, name) if name else load(path)
        return _call(module, request) if "call" in request else Answer("ok", json.dumps(describe(module)))
    except BadArguments as error:
        return Answer("invalid_arguments", str(error))
    except Missing as error:
        return Answer("error", str(error))
    except BaseException as error:  # noqa: BLE001
        return Answer("error", explain(error, path))


def _call(module: Mapping[str, Any], request: Mapping[str, Any]) -> Answer:
    function = tools_of(module).get(request["call"])
    if function is None:
        raise Missing(f"{module['__file__']} has no tool called {request['call']} any more")
    arguments = check_arguments(parameters_of(function), request["arguments"])
    value = function(**arguments)
    if hasattr(value, "__await__"):
        value = _run_async(value)
    return Answer("ok", _as_text(value))


def _run_async(awaitable: Any) -> Any:
    # asyncio is banned in the daemon, whose loop is trio's; this is the user's own process, and asyncio is what `async def` means
    # to most libraries.
    import asyncio  # noqa: TID251

    async def wait() -> Any:
        return await awaitable

    return asyncio.run(wait())


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


# --- the user's file -------------------------------------------------------------------------------------------------------------


def load(path: str) -> Mapping[str, Any]:
    """Run the file as a module and return its namespace. Helper modules beside it can be imported."""
    from importlib.util import module_from_spec, spec_from_file_location

    sys.path.append(os.path.dirname(path))  # last: a file `json.py` there must not hide the real one
    sys.dont_write_bytecode = True  # its cache tells changes within one second by size alone, and the folder is the user's
    # Not the file's own name, which may be that of a module its tools import.
    name = "_tools_" + os.path.basename(path).removesuffix(".py")
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module)


def imported(path: str, name: str) -> Mapping[str, Any]:
    """The namespace of the module, found as the daemon found it: it may have been told of places that we have not."""
    from agentd.toolsources.function_files import Source

    sys.path.append(Source(name, path).root)
    sys.dont_write_bytecode = True
    return vars(importlib.import_module(name))


def tools_of(module: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """The tools defined in the file itself (one that it imports belongs to where it is defined), by name."""
    marked = (value for value in module.values() if isinstance(getattr(value, MARK, None), Declaration))
    return {function.__name__: function for function in marked if function.__module__ == module["__name__"]}


def describe(module: Mapping[str, Any]) -> dict[str, list[Any]]:
    """`tools` as fields of a ToolSpec, and `problems`: (line, sentence) of each function that cannot be one."""
    tools: list[Any] = []
    problems: list[Any] = []
    for name, function in tools_of(module).items():
        try:
            tools.append(_described(name, function))
        except SchemaError as error:
            problems.append([_line(function), f"{name} is not offered as a tool: {error}"])
    return {"tools": tools, "problems": problems}


def _described(name: str, function: Any) -> dict[str, Any]:
    if not name.isascii() or len(name) > 64:  # what model vendors accept as a name
        raise SchemaError("a tool's name must be of at most 64 ASCII letters, digits and underscores")
    declared: Declaration = getattr(function, MARK)
    return {
        "name": name,
        "description": description_of(unwrap(function).__doc__),
        "parameters": parameters_of(function),
        **declared._asdict(),
    }


def _line(function: Any) -> int:
    return int(unwrap(function).__code__.co_firstlineno)


def explain(error: BaseException, path: str) -> str:
    """What was raised, and where in the user's file."""
    import traceback

    said = "".join(traceback.format_exception_only(error)).strip()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path][-TRACE_LINES:]
    where = [f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n    {frame.line}' for frame in frames]
    return "\n".join([said, *where])


# --- stdin, stdout ---------------------------------------------------------------------------------------------------------------


def _hold_lifeline() -> None:
    if os.getpgrp() == 0:  # that of bubblewrap, outside of our pid namespace, which has no name in here
        os.setpgid(0, 0)
    lifeline = os.dup(0)
    fcntl.fcntl(lifeline, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(lifeline, 0)
    if poll.poll(0):  # it was closed before the kernel was told
        os.killpg(0, signal.SIGKILL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # a function that asks for input gets none
    os.close(nothing)


class _Printed:
    """What is written to stdout from now on, its first MAX_OUTPUT bytes."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.dup2(self._writer, 1)
        # The end is told by a mark and not by the end of the pipe, which a background child may hold open.
        self._mark = os.urandom(16)
        self._head = bytearray()
        self._stdout = sys.stdout
        self._stdout.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)  # type: ignore[union-attr]
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def finish(self) -> bytes:
        with suppress(OSError, ValueError):  # the function closed it
            self._stdout.flush()
        os.write(self._writer, self._mark)
        self._thread.join()
        os.dup2(2, 1)  # what exit handlers print goes where nobody waits for it
        return bytes(self._head)

    def _collect(self) -> None:
        tail = b""
        while (end := tail.find(self._mark)) < 0:
            self._keep(tail[: -len(self._mark)])
            tail = tail[-len(self._mark) :] + os.read(self._reader, 65536)
        self._keep(tail[:end])

    def _keep(self, data: bytes) -> None:
        self._head += data[: MAX_OUTPUT - len(self._head)]


def _send(fd: int, answer: Answer, printed: bytes) -> None:
    body = answer.text.encode(errors="replace")
    if printed:
        glue = b"" if printed.endswith(b"\n") or not body else b"\n"
        body = printed + glue + body
    if len(body) > MAX_OUTPUT:
        body = body[: MAX_OUTPUT - len(CUT)] + CUT
    header = json.dumps({"outcome": answer.outcome, "bytes": len(body)}).encode()
    rest = memoryview(header + b"\n" + body)
    while rest:
        rest = rest[os.write(fd, rest) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
