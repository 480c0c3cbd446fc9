"""What every ToolSource promises, run on each: with a call that echoes, one that fails, and one that waits to be cancelled."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve, frozen

from agentd.ports import ToolContext, ToolSource
from agentd.spawn import TrioSpawner
from agentd.toolsources.files.source import FileTools
from agentd.toolsources.functions import FunctionTools
from agentd.toolsources.late import Late
from agentd.toolsources.shell.tools import ShellTools
from agentwire.errors import ToolError
from agentwire.types import Access, Text
from tests.fakes.processes import PATIENCE, Mailbox, mailbox
from tests.fakes.tools import FakeTools, said
from tests.fakes.tools import spec as tool_spec

FILE = """
import os, signal
from agentd.tool import tool

@tool(effect="read", policy="allow")
def echo(text: str): return text
@tool
def fail(): raise RuntimeError("failed")
@tool
def wait():
    with open({box!r}, "w") as box:
        print(file=box)
    signal.pause()
"""


@frozen
class Ask:
    """A call, what was planned for it, and what comes of it: all of its text, or of an error a part."""

    name: str
    arguments: Mapping[str, Any]
    text: str = ""
    accesses: tuple[Access, ...] = ()
    hidden: Callable[[str], bool] = lambda _path: False

    def context(self, call: str = "c1") -> ToolContext:
        return ToolContext(call=call, session="s", cwd="/", accesses=self.accesses, hidden=self.hidden)


@frozen
class Case:
    """A source, its calls, and how the one that waits says that it has begun."""

    source: ToolSource
    began: Mailbox
    echo: Callable[[str], Ask] = lambda text: Ask("echo", {"text": text}, text)
    fail: Ask = Ask("fail", {}, "failed")
    wait: Ask = Ask("wait", {})


class Waiting(FakeTools):
    """A fake whose `wait` says so in the mailbox."""

    box: Mailbox

    async def _wait(self, name: str) -> None:
        if name == "wait":
            with open(self.box.path, "w") as box:  # noqa: ASYNC230 - a FIFO whose other end is open
                print(file=box)
        await super()._wait(name)


def fake(box: Mailbox) -> FakeTools:
    fake = Waiting(
        [tool_spec("echo", effect="read", text={"type": "string"}), tool_spec("fail"), tool_spec("wait")],
        results={"echo": [lambda arguments, context: said(arguments["text"])], "fail": [ToolError("failed")]},
        gates={"wait": trio.Event()},
    )
    fake.box = box
    return fake


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as made:
        yield made


def files(folder: Path, box: Mailbox) -> Case:
    """Files echo by being read; an expression that takes for ever waits, once the walk has asked about the first file."""
    (folder / "slow").write_text("1," * 60)

    def echo(text: str) -> Ask:
        (folder / f"{len(text)}").write_text(text)
        line = text.rstrip("\n")
        shown = line if len(line) <= 2000 else f"{line[:2000]} [cut: the line has {len(line)} bytes]"
        return Ask("read", {"path": f"{len(text)}"}, f"     1\t{shown}", reads(folder / f"{len(text)}"))

    def begun(_path: str) -> bool:
        Path(box.path).write_text("\n")
        return False

    missing = Ask("read", {"path": "missing"}, "there is no such file", reads(folder / "missing"))
    wait = Ask("grep", {"pattern": "(.*?,){20}P"}, accesses=reads(folder), hidden=begun)
    return Case(FileTools(TrioSpawner(), umask=0o022), box, echo, missing, wait)


def late(folder: Path, box: Mailbox) -> Case:
    """The same, loaded by its first call."""
    case = files(folder, box)
    return evolve(case, source=Late("files", case.source.specs(), lambda: case.source))


def shell(folder: Path, box: Mailbox) -> Case:
    """Commands echo files, for a command line has an end."""

    def echo(text: str) -> Ask:
        path = folder / f"{len(text)}"
        path.write_text(text)
        line = text.rstrip("\n")
        return Ask("shell", {"command": f"cat {path}"}, f"{line}\n[exit code 0]")

    fail = Ask("shell", {"command": "echo failed >&2; exit 1"}, "failed\n[exit code 1]")
    wait = Ask("shell", {"command": f"trap '' TERM; echo > {box.path}; sleep 1000"})
    return Case(ShellTools(TrioSpawner(), lambda: PATIENCE), box, echo, fail, wait)


def reads(path: Path) -> tuple[Access, ...]:
    return (Access(kind="read", target=str(path)),)


@pytest.fixture(params=["fake", "functions", "files", "late", "shell"])
async def case(request: pytest.FixtureRequest, tmp_path: Path, box: Mailbox) -> AsyncIterator[Case]:
    """A source that has been started and refreshed, as the daemon does it."""
    (tmp_path / "tools.py").write_text(FILE.format(box=box.path))
    cases = {
        "fake": lambda: Case(fake(box), box),
        "functions": lambda: Case(FunctionTools(str(tmp_path), TrioSpawner()), box),
        "files": lambda: files(tmp_path, box),
        "late": lambda: late(tmp_path, box),
        "shell": lambda: shell(tmp_path, box),
    }
    case = cases[request.param]()
    async with trio.open_nursery() as nursery:
        await nursery.start(case.source.run)
        await case.source.refresh()
        yield case
        nursery.cancel_scope.cancel()


async def test_specs_are_what_vendors_accept(case: Case) -> None:
    """Names are unique and of the letters that every vendor takes; parameters are the schema of an object."""
    specs = case.source.specs()
    assert {case.echo("").name, case.fail.name, case.wait.name} <= {spec.name for spec in specs}
    assert len({spec.name for spec in specs}) == len(specs)
    for spec in specs:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", spec.name)
        assert spec.parameters["type"] == "object"
        assert spec.effect in ("read", "idempotent", "once")
        assert spec.policy in ("allow", "ask", "deny")


async def test_refresh_changes_nothing_without_need(case: Case) -> None:
    """Looking again, also twice at once, finds the same tools."""
    before = list(case.source.specs())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(case.source.refresh)
        nursery.start_soon(case.source.refresh)
    assert list(case.source.specs()) == before


async def test_calls_get_their_own_answers(case: Case) -> None:
    """Calls run side by side, each with its own arguments."""
    answers: dict[str, object] = {}
    asked = {text: case.echo(text) for text in ("a", "\u20ac\n", "long" * 50_000)}

    async def one(text: str, ask: Ask) -> None:
        answers[text] = await case.source.call(ask.name, ask.arguments, ask.context(f"call-{len(text)}"))

    async with trio.open_nursery() as nursery:
        for text, ask in asked.items():
            nursery.start_soon(one, text, ask)
    assert answers == {text: said(ask.text) for text, ask in asked.items()}


async def test_a_failing_tool_is_an_outcome(case: Case) -> None:
    """Failure is a ToolError or an outcome `error` with text: nothing else comes out of a source."""
    try:
        outcome = await case.source.call(case.fail.name, case.fail.arguments, case.fail.context())
    except ToolError as error:
        text = str(error)
    else:
        assert outcome.outcome == "error"
        text = "".join(part.text for part in outcome.parts if isinstance(part, Text))
    assert case.fail.text in text


async def test_unknown_tool(case: Case) -> None:
    """A name that the source does not have is a ToolError."""
    with pytest.raises(ToolError, match="no_such_tool"):
        await case.source.call("no_such_tool", {}, case.fail.context())


async def test_cancelled_call_ends(case: Case) -> None:
    """Cancelling a running call ends it, as cancelled and as nothing else, and the source works on."""
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(case.source.call, case.wait.name, case.wait.arguments, case.wait.context())
            await case.began.read()
            nursery.cancel_scope.cancel()
        assert nursery.cancel_scope.cancelled_caught
        after = case.echo("after")
        assert await case.source.call(after.name, after.arguments, after.context()) == said(after.text)
