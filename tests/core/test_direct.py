"""Calls that people and programs make: in the ledger, once, to their end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from agentd.core.permit import Policy, of_lists
from agentd.core.tools import NOT_EXECUTED, UNKNOWN, finished
from agentd.ports import NewEvent, ToolOutcome
from agentwire import events as ev
from agentwire.errors import Conflict, Denied, InvalidParams, SandboxUnavailable, Stopping
from agentwire.types import Text, Todo
from tests.core.logs import planned
from tests.fakes.house import SETTINGS, House, open_house
from tests.fakes.models import FakeModels, Say
from tests.fakes.tools import FakeTools, spec

TOOLS = [spec("pay", policy="ask", n={"type": "integer"}), spec("look", effect="read"), evolve(spec("ask"), personal=True)]


@asynccontextmanager
async def shop(tools: FakeTools | None = None, *, path: str = ":memory:", **policy: Any) -> AsyncIterator[House]:
    settings = evolve(SETTINGS, policy=Policy(**policy))
    async with open_house(FakeModels(lambda _: Say(["ok"])), tools or FakeTools(TOOLS), path=path, settings=settings) as house:
        yield house


def kinds(house: House) -> list[str]:
    return [event.kind for event in house.events if event.stream == "user:local"]


async def pay(house: House, **params: Any) -> Any:
    return await house.ask("tool/call", **{"name": "pay", "arguments": {"n": 1}, **params})


async def test_a_call_of_ones_own_needs_no_approval() -> None:
    """It is in the log before the effect and after, in its user's stream, with turn 0."""
    tools = FakeTools(TOOLS, results={"pay": ["paid"]})
    async with shop(tools) as house:
        called = await pay(house, cwd="/tmp", environment={"PATH": "/bin", "SECRET": "x"})
        assert (called["outcome"], called["parts"]) == ("ok", [{"kind": "text", "text": "paid"}])
        assert kinds(house) == ["tool_planned", "tool_started", "tool_finished"]
        first = house.events[0].body
        assert (first.turn, first.session, first.call, first.arguments_json) == (0, "", called["call"], '{"n":1}')
        (made,) = tools.calls
        assert (made.context.cwd, dict(made.context.environment), made.context.session) == ("/tmp", {"PATH": "/bin"}, "")


async def test_in_a_session_it_is_as_if_its_model_called() -> None:
    """Its directory, its environment; and what the tool changes of the session commits with the end."""
    todos = ev.TodosChanged(todos=(Todo(text="x", state="done"),))
    done = ToolOutcome(outcome="ok", parts=(Text(text="ok"),), bodies=(todos,))
    tools = FakeTools(TOOLS, results={"look": [done]})
    async with shop(tools) as house:
        live = await house.create(cwd="/usr", environment={"LANG": "C"})
        assert (await house.ask("tool/call", name="look", session=live.state.id[:8]))["outcome"] == "ok"
        assert live.state.todos == todos.todos and house.events[-2].body == todos
        context = tools.calls[0].context
        assert (context.session, context.cwd, dict(context.environment)) == (live.state.id, "/usr", {"LANG": "C"})
        assert context.jobs is not None and house.events[-1].body.outcome == "ok"
        alone = await house.ask("tool/call", name="look")
        assert alone["outcome"] == "error" and "changes a session" in alone["parts"][0]["text"]


async def test_rules_that_deny_hold_and_modes_that_change_nothing_do() -> None:
    """It is refused, and the ledger knows. Where "never ask" denies a model, a person has nobody else to ask."""
    async with shop(rules=of_lists(deny=["pay"], scope="user")) as house:
        with pytest.raises(Denied, match="pay is not allowed"):
            await pay(house)
        assert kinds(house) == ["tool_planned", "tool_finished"] and house.events[-1].body.outcome == "denied"
    async with shop(mode="plan") as house:
        with pytest.raises(Denied, match="mode plan"):
            await pay(house)
    async with shop(mode="dont-ask") as house:
        assert (await pay(house))["outcome"] == "ok"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"arguments": {}}, "'n' is a required property"),
        ({"arguments": {"n": "x"}}, "is not of type 'integer'"),
        ({"name": "ask", "arguments": {}}, "only a model can call it"),
    ],
)
async def test_what_cannot_be_called_so_is_told_before_anything_is_planned(params: dict[str, Any], said: str) -> None:
    """As an error of the request, not of the tool."""
    async with shop() as house:
        with pytest.raises(InvalidParams, match=said):
            await pay(house, **params)
        assert house.events == []


async def test_a_key_makes_it_happen_once() -> None:
    """The same answer ever after, also while the first runs; another request under the key is a conflict."""
    gate = trio.Event()
    tools = FakeTools(TOOLS, results={"pay": ["paid", "paid again"]}, gates={"pay": gate})
    async with shop(tools) as house:
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await pay(house, key="k"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            gate.set()
        assert answers[0] == answers[1] == await pay(house, key="k") and len(tools.calls) == 1
        with pytest.raises(Conflict):
            await pay(house, key="k", arguments={"n": 2})


async def test_it_goes_on_when_its_caller_hangs_up() -> None:
    """And whoever asks again under its key gets the end."""
    gate = trio.Event()
    tools = FakeTools(TOOLS, results={"pay": ["paid"]}, gates={"pay": gate})
    async with shop(tools) as house:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pay, house)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        gate.set()
        await trio.testing.wait_all_tasks_blocked()
        assert kinds(house)[-1] == "tool_finished" and house.events[-1].body.outcome == "ok" and not tools.cancelled


async def test_a_stop_leaves_no_call_open(tmp_path: Path) -> None:
    """It ends with the daemon, as unknown; and the same request does not happen again, but is told so."""
    path = str(tmp_path / "agentd.db")
    tools = FakeTools(TOOLS, gates={"pay": trio.Event()})
    async with trio.open_nursery() as nursery, shop(tools, path=path) as house:
        nursery.start_soon(_hung_up, house)
        await trio.testing.wait_all_tasks_blocked()
        assert house.core.direct._nursery is not None
        house.core.direct._nursery.cancel_scope.cancel()  # as the daemon's services end
        await trio.testing.wait_all_tasks_blocked()
    assert [event.body.outcome for event in house.events if event.kind == "tool_finished"] == ["unknown"]
    tools = FakeTools(TOOLS)
    async with shop(tools, path=path) as house:
        again = await pay(house, key="k")
        assert (again["outcome"], again["parts"][0]["text"], tools.calls) == ("unknown", UNKNOWN, [])


async def _hung_up(house: House) -> None:
    with pytest.raises(Stopping, match="tool history"):
        await pay(house, key="k")


async def test_what_a_killed_daemon_left_is_over_at_the_next_start(tmp_path: Path) -> None:
    """Started: unknown. Only planned: not executed. What is over stays as it was."""
    path = str(tmp_path / "agentd.db")
    async with shop(path=path) as house:
        bodies: list[Any] = [evolve(planned(call), turn=0) for call in ("a", "b", "c")]
        bodies += [ev.ToolStarted(turn=0, call="a"), ev.ToolStarted(turn=0, call="c"), finished(0, "c", "ok", "done")]
        await house.store.append([NewEvent("user:local", "local", body) for body in bodies])
    async with shop(path=path) as house:
        ends = {event.body.call: (event.body.outcome, event.body.parts[0].text) for event in house.events}
        assert ends == {"a": ("unknown", UNKNOWN), "b": ("not_executed", NOT_EXECUTED)}
        assert await house.store.direct_calls() == []


async def test_a_bug_in_a_tool_ends_the_call_and_nothing_else() -> None:
    """The caller gets a result with an id; the next call works."""

    def bug(*_: Any) -> ToolOutcome:
        raise ZeroDivisionError

    async with shop(FakeTools(TOOLS, results={"look": [bug, "seen"]})) as house:
        called = await house.ask("tool/call", name="look")
        assert called["outcome"] == "error" and "traceback is in the log" in called["parts"][0]["text"]
        assert (await house.ask("tool/call", name="look"))["outcome"] == "ok"


async def test_without_walls_nothing_runs_and_the_caller_is_told() -> None:
    """As an error of its own, with the remedy; the ledger has it as one."""
    tools = FakeTools(TOOLS, results={"look": [SandboxUnavailable("no walls; install bubblewrap")]})
    async with shop(tools) as house:
        with pytest.raises(SandboxUnavailable, match="install bubblewrap"):
            await house.ask("tool/call", name="look")
        assert house.events[-1].body.outcome == "error"


async def test_a_long_result_is_a_blob_in_the_log_and_whole_for_the_caller() -> None:
    """Unless no frame would hold it."""
    tools = FakeTools(TOOLS, results={"look": ["x" * 100_000, "y" * 1_100_000]})
    async with shop(tools) as house:
        assert (await house.ask("tool/call", name="look"))["parts"][0]["text"] == "x" * 100_000
        assert house.events[-1].body.parts[0].bytes == 100_000
        text = (await house.ask("tool/call", name="look"))["parts"][0]["text"]
        assert text.endswith("y\n[51,424 characters more]") and len(text) < 1_050_000
