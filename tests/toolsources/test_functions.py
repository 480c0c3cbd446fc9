"""Functions of a tools folder as tools: known without being imported here, run in processes that leave nothing behind."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from agentd.ports import Process, Profile, ToolContext, ToolSpec
from agentd.spawn import TrioSpawner
from agentd.toolsources import functions
from agentd.toolsources.function_files import Source
from agentd.toolsources.function_worker import CUT, MAX_OUTPUT
from agentd.toolsources.functions import FunctionTools
from agentwire.errors import ToolError
from agentwire.types import Text
from tests.fakes.processes import Mailbox, children, gone, mailbox, open_fds

Write = Callable[[str, str], None]
HEAD = "from agentd.tool import tool\n"


class Recorder(TrioSpawner):
    """A real spawner that knows what it started."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[str] = []

    def start(self, argv: Sequence[str], profile: Profile) -> AbstractAsyncContextManager[Process]:
        self.started.append(argv[-1].rsplit("/", 1)[-1])
        return super().start(argv, profile)


class Instead(TrioSpawner):
    """Starts a shell script in a worker's place."""

    def __init__(self) -> None:
        super().__init__()
        self.script = ""

    def start(self, argv: Sequence[str], profile: Profile) -> AbstractAsyncContextManager[Process]:
        return super().start(["sh", "-c", self.script] if self.script else argv, profile)


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """After every test here: no child, no zombie, no open file more than before."""
    fds, pids = open_fds(), children()
    yield
    assert children() == pids
    assert open_fds() == fds


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as made:
        yield made


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "tools").mkdir()

    def write(name: str, source: str) -> None:
        (tmp_path / "tools" / name).write_text(HEAD + source)

    return write


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def tools(tmp_path: Path, recorder: Recorder) -> FunctionTools:
    return FunctionTools(str(tmp_path / "tools"), recorder)


def names(tools: FunctionTools) -> list[str]:
    return [spec.name for spec in tools.specs()]


async def call(tools: FunctionTools, name: str, /, *, cwd: str = "/", env: dict[str, str] | None = None, **arguments: Any) -> Any:
    """(outcome, text) of a call."""
    outcome = await tools.call(name, arguments, ToolContext(call="call-1", session="s", cwd=cwd, environment=env or {}))
    (part,) = outcome.parts
    assert isinstance(part, Text)
    return outcome.outcome, part.text


# --- what is offered -------------------------------------------------------------------------------------------------------------


async def test_offered_as_declared(tools: FunctionTools, write: Write) -> None:
    """Name, docstring, schema, effect and policy come from the function."""
    write("a.py", '@tool(effect="read", policy="allow")\ndef f(x: int):\n    """Does it."""\n@tool\ndef g(): ...\ndef h(): ...\n')
    await tools.refresh()
    empty = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    taking = {**empty, "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    assert tools.specs() == (
        ToolSpec(name="f", description="Does it.", parameters=taking, effect="read", policy="allow"),
        ToolSpec(name="g", description="", parameters=empty, effect="once", policy="ask"),
    )


async def test_run_looks_once_and_ends(tools: FunctionTools, write: Write) -> None:
    """The service is ready at once, learns what there is, and needs no running task after that."""
    write("a.py", "@tool\ndef f(): ...\n")
    async with trio.open_nursery() as nursery:
        await nursery.start(tools.run)
    assert names(tools) == ["f"]


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("a file")])
async def test_no_folder_no_tools(tools: FunctionTools, recorder: Recorder, tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A folder that is missing, empty or no folder at all is no error and starts nothing."""
    make(tmp_path / "tools")
    await tools.refresh()
    assert (names(tools), recorder.started) == ([], [])


async def test_only_changes_start_children(tools: FunctionTools, recorder: Recorder, write: Write, tmp_path: Path) -> None:
    """A file is described again when it has changed, was added or came back, and never without need."""
    script: list[tuple[str, str | None, list[str], list[str]]] = [
        ("a.py", "@tool\ndef f(): ...\n", ["a.py"], ["f"]),
        ("b.py", "@tool\ndef g(): ...\n", ["b.py"], ["f", "g"]),
        ("a.py", "@tool\ndef f2(): ...\n", ["a.py"], ["f2", "g"]),
        ("a.py", "@tool\ndef f3(): ...\n", ["a.py"], ["f3", "g"]),  # as long, and in the same second
        ("a.py", None, [], ["g"]),
        ("a.py", "@tool\ndef f(): ...\n", ["a.py"], ["f", "g"]),
        ("_helper.py", "@tool\ndef hidden(): ...\n", [], ["f", "g"]),
        ("notes.txt", "no python", [], ["f", "g"]),
    ]
    for name, source, started, offered in script:
        if source is None:
            (tmp_path / "tools" / name).unlink()
        else:
            write(name, source)
        await tools.refresh()
        await tools.refresh()
        assert (recorder.started, names(tools)) == (started, offered)
        recorder.started.clear()


async def test_concurrent_refreshes_describe_once(tools: FunctionTools, recorder: Recorder, write: Write) -> None:
    """Turns that begin together share one look, and each finds the tools when it goes on."""
    write("a.py", "@tool\ndef f(): ...\n")

    async def turn() -> None:
        await tools.refresh()
        assert names(tools) == ["f"]

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(turn)
    assert recorder.started == ["a.py"]


async def test_cancelled_refresh_is_done_again(tools: FunctionTools, recorder: Recorder, write: Write) -> None:
    """A turn that is cancelled while a file is described leaves it to the next."""
    write("a.py", "@tool\ndef f(): ...\n")
    with trio.CancelScope() as scope:
        scope.cancel()
        await tools.refresh()
    await tools.refresh()
    assert names(tools) == ["f"]


@pytest.mark.parametrize(
    ("source", "line", "problem"),
    [
        ("def f(:\n", 0, 'broken.py", line 2\n'),
        ("1/0\n", 0, 'ZeroDivisionError: division by zero\n  File "'),
        ("import no_such_module\n", 0, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("import sys\nsys.exit(3)\n", 0, "SystemExit: 3"),
        ("import os\nos._exit(3)\n", 0, "ended with exit code 3 before it gave a result"),
        ("import os\nos.kill(0, 9)\n", 0, "was killed by signal 9 (Killed) before it gave a result"),
        ("import sys\nsys.stderr.write('last words')\nsys.stderr.flush()\nimport os\nos.abort()\n", 0, "last words"),
        ("import signal\nsignal.pause()\n", 0, "importing it took longer than"),
        ('@tool(effect="none")\ndef f(): ...\n', 0, "@tool: effect must be one of read, idempotent, once, not 'none'"),
        ("@tool\ndef good2(): ...\n\n@tool\ndef f(x): ...\n", 5, "f is not offered as a tool: the parameter `x` needs a type"),
        ("@tool\ndef gr\u00fc\u00df(): ...\n", 2, "at most 64 ASCII letters"),
        (f"@tool\ndef {'f' * 65}(): ...\n", 2, "at most 64 ASCII letters"),
    ],
)
async def test_broken_file_is_a_warning(
    tools: FunctionTools, write: Write, monkeypatch: pytest.MonkeyPatch, source: str, line: int, problem: str
) -> None:
    """Whatever a file does, the daemon lives and says which file and line; other files work; it is said once per change."""
    if "pause" in source:
        monkeypatch.setattr(functions, "DESCRIBE_BOUND", 0.2)
    write("broken.py", source)
    write("good.py", "@tool\ndef good(): ...\n")
    with capture_logs() as logs:
        await tools.refresh()
        await tools.refresh()
    (said,) = logs
    assert (said["log_level"], said["file"].rsplit("/", 1)[1], said["line"]) == ("warning", "broken.py", line)
    assert problem in said["problem"]
    assert names(tools) in (["good"], ["good2", "good"])


async def test_name_clash_names_both_files(tools: FunctionTools, write: Write) -> None:
    """Of two tools with one name the first file's is offered and called, and the warning says so."""
    write("a.py", "@tool\ndef f(): return 'a'\n")
    write("b.py", "@tool\ndef f(): return 'b'\n@tool\ndef g(): ...\n")
    with capture_logs() as logs:
        await tools.refresh()
    (said,) = logs
    assert [said["tool"], *(said[key].rsplit("/", 1)[1] for key in ("offered", "refused"))] == ["f", "a.py", "b.py"]
    assert names(tools) == ["f", "g"]
    assert await call(tools, "f") == ("ok", "a")


async def test_prints_while_imported_harm_nobody(tools: FunctionTools, write: Write) -> None:
    """A file that talks as it is imported is described like any other."""
    write("a.py", "print('{}' * 100_000)\n@tool\ndef f(): return 'f'\n")
    await tools.refresh()
    assert names(tools) == ["f"]


async def test_tools_of_imported_helpers_are_not_offered_twice(tools: FunctionTools, write: Write) -> None:
    """Files may import each other and helpers; a tool belongs to where it is defined."""
    write("_helper.py", "@tool\ndef helper(): return 'help'\n")
    write("a.py", "@tool\ndef f(): return 'f'\n")
    write("b.py", "from a import f\nfrom _helper import helper\n@tool\ndef g(): return f() + helper()\n")
    with capture_logs() as logs:
        await tools.refresh()
    assert (names(tools), logs) == (["f", "g"], [])
    assert await call(tools, "g") == ("ok", "fhelp")


# --- calls -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("return 'text \u20ac'", ("ok", "text \u20ac")),
        ("return None", ("ok", "")),
        ("return {'a': [1, None, 'e\u0301']}", ("ok", '{"a": [1, null, "e\u0301"]}')),
        ("import pathlib; return [pathlib.Path('/x')]", ("ok", '["/x"]')),
        ("print('seen'); return 5", ("ok", "seen\n5")),
        ("print('only this')", ("ok", "only this\n")),
        ("return 'x' * 200_000", ("ok", "x" * 200_000)),
        ("import os; return os.environ['AGENTD_CALL_ID']", ("ok", "call-1")),
        ("a = []; a.append(a); return a", ("error", "ValueError: Circular reference detected")),
        ("print('before'); raise KeyError('k')", ("error", "before\nKeyError: 'k'")),
    ],
)
async def test_results(tools: FunctionTools, write: Write, body: str, answer: tuple[str, str]) -> None:
    """Text stays text, the rest is JSON, prints come first; an exception is an error with its place in the file."""
    write("a.py", f"@tool\ndef f():\n    {body}\n")
    await tools.refresh()
    outcome, text = await call(tools, "f")
    assert (outcome, text.split("\n  File")[0]) == answer


async def test_async_function(tools: FunctionTools, write: Write) -> None:
    """`async def` runs on asyncio, in the child."""
    write("a.py", "import asyncio\n@tool\nasync def f(x: int):\n    await asyncio.sleep(0)\n    return x\n")
    await tools.refresh()
    assert await call(tools, "f", x=3.0) == ("ok", "3")


async def test_traceback_shows_the_users_file_only(tools: FunctionTools, write: Write) -> None:
    """The model reads what was raised and the lines of the file that led there, not our frames or the library's."""
    write("a.py", "import json\n@tool\ndef f(): return g()\ndef g(): return json.loads('{')\n")
    await tools.refresh()
    outcome, text = await call(tools, "f")
    lines = text.splitlines()
    assert (outcome, lines[0][:32]) == ("error", "json.decoder.JSONDecodeError: Ex")
    assert [line.split(", ", 1)[1] for line in lines if line.startswith("  File")] == ["line 4, in f", "line 5, in g"]
    assert len(lines) == 5


async def test_invalid_arguments(tools: FunctionTools, write: Write) -> None:
    """What does not fit the types is refused before the function runs, in words for the model."""
    write("a.py", "@tool\ndef f(x: int): print('ran')\n")
    await tools.refresh()
    assert await call(tools, "f", y=1) == (
        "invalid_arguments",
        "missing argument `x`; unknown argument `y` (known: x). Nothing was run; correct the arguments and call again.",
    )


async def test_unknown_tool(tools: FunctionTools, write: Write) -> None:
    """A name that is not offered is a ToolError; one that the file has lost since then is an error that says so."""
    write("a.py", "@tool\ndef f(): ...\n")
    await tools.refresh()
    with pytest.raises(ToolError, match="there is no tool called g"):
        await call(tools, "g")
    write("a.py", "")
    outcome, text = await call(tools, "f")
    assert (outcome, text.endswith("a.py has no tool called f any more")) == ("error", True)


async def test_where_and_with_what_it_runs(tools: FunctionTools, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's directory and environment, a HOME and a PATH: and nothing of the daemon's own."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    write("a.py", "import json, os\n@tool\ndef f(): return json.dumps([os.getcwd(), dict(os.environ)])\n")
    await tools.refresh()
    cwd, environment = json.loads((await call(tools, "f", cwd="/usr", env={"LANG": "C", "VIRTUAL_ENV": "/v"}))[1])
    environment.pop("LC_CTYPE", None)  # Python's own (PEP 538)
    home, path = os.environ["HOME"], functions.FALLBACK_PATH
    assert cwd == "/usr"
    assert environment == {"HOME": home, "PATH": path, "LANG": "C", "VIRTUAL_ENV": "/v", "AGENTD_CALL_ID": "call-1"}


async def test_the_sessions_directory_is_not_imported_from(tools: FunctionTools, write: Write, tmp_path: Path) -> None:
    """A hostile project with a `json.py` or an `agentd` of its own cannot slip into a tool's process."""
    project = tmp_path / "project"
    project.mkdir()
    for name in ("json.py", "agentd.py", "typing.py", "sitecustomize.py"):
        (project / name).write_text("raise SystemExit('hijacked')\n")
    write("a.py", "import json\n@tool\ndef f(): return 'fine'\n")
    await tools.refresh()
    assert await call(tools, "f", cwd=str(project)) == ("ok", "fine")


async def test_missing_directory(tools: FunctionTools, write: Write) -> None:
    """A session whose directory is gone is told so."""
    write("a.py", "@tool\ndef f(): ...\n")
    await tools.refresh()
    with pytest.raises(ToolError, match="its working directory /no/such/place cannot be used"):
        await call(tools, "f", cwd="/no/such/place")


async def test_output_is_capped(tools: FunctionTools, write: Write) -> None:
    """More than 32 MiB keeps its head and says that it was cut."""
    write("a.py", f"@tool\ndef f(): return 'x' * {MAX_OUTPUT + 1}\n")
    await tools.refresh()
    outcome, text = await call(tools, "f")
    assert (outcome, len(text), text[:2], text[-len(CUT) :]) == ("ok", MAX_OUTPUT, "xx", CUT.decode())


async def test_large_arguments(tools: FunctionTools, write: Write) -> None:
    """Arguments are not limited by what a pipe holds."""
    write("a.py", "@tool\ndef f(x: str): return len(x)\n")
    await tools.refresh()
    assert await call(tools, "f", x="\u20ac" * 500_000) == ("ok", "500000")


# --- ends ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("os._exit(3)", "the tool's process ended with exit code 3 before it gave a result"),
        ("os.kill(os.getpid(), 11)", "the tool's process was killed by signal 11 (Segmentation fault) before it gave a result"),
        ("os.write(2, b'oh no'); os._exit(0)", "the tool's process ended with exit code 0 before it gave a result:\noh no"),
    ],
)
async def test_death_without_a_result(tools: FunctionTools, write: Write, body: str, sentence: str) -> None:
    """A child that dies is an error with its exit code or signal and the last it said on stderr."""
    write("a.py", f"import os\n@tool\ndef f(): {body}\n")
    await tools.refresh()
    assert await call(tools, "f") == ("error", sentence)


async def test_background_child_ends_with_the_call(tools: FunctionTools, write: Write, box: Mailbox) -> None:
    """A function that leaves a child behind, pipes and all, is answered; the child is killed."""
    write("a.py", "import subprocess\n@tool\ndef f(): return subprocess.Popen(['sleep', '1000']).pid\n")
    await tools.refresh()
    outcome, pid = await call(tools, "f")
    assert outcome == "ok"
    await gone(int(pid))


async def test_thread_left_behind_ends_with_the_call(tools: FunctionTools, write: Write) -> None:
    """A thread that would keep the process alive does not keep the answer."""
    write("a.py", "import threading, time\n@tool\ndef f(): threading.Thread(target=time.sleep, args=[1000]).start(); return 'ok'\n")
    await tools.refresh()
    assert await call(tools, "f") == ("ok", "ok")


async def test_open_files_are_flushed(tools: FunctionTools, write: Write, tmp_path: Path) -> None:
    """What a function wrote to a file that it left open is on disk when the call returns."""
    write("a.py", f"log = open({str(tmp_path / 'log')!r}, 'w')\n@tool\ndef f(): log.write('kept')\n")
    await tools.refresh()
    await call(tools, "f")
    assert (tmp_path / "log").read_text() == "kept"


WAITING = """
import os, signal, subprocess
@tool
def f(box: str):
    with open(box, "w") as file:
        print(subprocess.Popen(["sleep", "1000"]).pid, os.getpid(), sep="\\n", file=file)
    signal.pause()
"""


async def test_cancelled_calls_leave_nothing(tools: FunctionTools, write: Write, box: Mailbox) -> None:
    """Twenty calls cancelled while they run: each returns, and function and child are dead."""
    write("a.py", WAITING)
    await tools.refresh()
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(lambda: call(tools, "f", box=box.path))
        pids = [await box.pid() for _ in range(40)]
        nursery.cancel_scope.cancel()
    for pid in pids:
        await gone(pid)


@pytest.mark.parametrize("checkpoints", range(12))
async def test_cancelled_at_each_step_of_the_start(tools: FunctionTools, write: Write, box: Mailbox, checkpoints: int) -> None:
    """Cancelled a few steps of the loop after the call began, wherever that is: nothing is left (the fixture looks)."""
    write("a.py", WAITING)
    await tools.refresh()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: call(tools, "f", box=box.path))
        for _ in range(checkpoints):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    while not box.empty():
        await gone(await box.pid())


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 3", "the tool's process ended with exit code 3 before it began"),
        ("echo no python >&2; exit 127", "the tool's process ended with exit code 127 before it began:\nno python"),
        ("echo hello; sleep 1000", "the tool's process was killed by signal 9 (Killed) before it began"),
        ("echo r; read x; echo garbage", "the tool's process answered in a way that cannot be understood"),
        ("echo r; read x; echo '{}'", "the tool's process answered in a way that cannot be understood"),
        (
            'echo r; read x; echo \'{"outcome": "ok", "bytes": 9}\'',
            "the tool's process ended with exit code 0 before it gave a result",
        ),
        (
            "echo r; read x; head -c 100000 /dev/zero; sleep 1000",
            "the tool's process was killed by signal 9 (Killed) before it gave a result",
        ),
    ],
)
async def test_anything_in_the_workers_place(tmp_path: Path, write: Write, script: str, sentence: str) -> None:
    """A child that is not what it should be is an error, within bounds, whatever it says."""
    spawner = Instead()
    tools = FunctionTools(str(tmp_path / "tools"), spawner)
    write("a.py", "@tool\ndef f(): ...\n")
    await tools.refresh()
    spawner.script = script
    assert await call(tools, "f") == ("error", sentence)


@pytest.mark.slow
async def test_many_calls_at_once(tools: FunctionTools, write: Write) -> None:
    """64 calls side by side get each its own answer."""
    write("a.py", "@tool\ndef f(x: int): print('seen', x); return {'x': x}\n")
    await tools.refresh()
    answers: dict[int, Any] = {}

    async def one(x: int) -> None:
        answers[x] = await call(tools, "f", x=x)

    async with trio.open_nursery() as nursery:
        for x in range(64):
            nursery.start_soon(one, x)
    assert answers == {x: ("ok", f'seen {x}\n{{"x": {x}}}') for x in range(64)}


# --- the single binary, the handbook ---------------------------------------------------------------------------------------------


def test_single_binary_starts_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen, there is no `python -m`: the program is its own worker."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    argv, _ = functions._worker(Source("", "/tools/a.py"), Profile(cwd="/", environment={}))
    assert argv == [sys.executable, "_function", "/tools/a.py"]


async def test_the_handbooks_example_works(tools: FunctionTools, tmp_path: Path) -> None:
    """The first example of docs/tools.md is a tools file that works as it says."""
    page = (Path(__file__).parents[2] / "docs" / "tools.md").read_text()
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "example.py").write_text(page.split("```python\n", 1)[1].split("```", 1)[0])
    await tools.refresh()
    assert names(tools) == ["count_lines", "append_note"]
    assert await call(tools, "count_lines", path="/proc/self/comm", blank=False) == ("ok", "1")
    assert await call(tools, "append_note", text="milk", cwd=str(tmp_path)) == ("ok", "noted")
    assert (tmp_path / "notes.txt").read_text() == "milk\n"
