"""todo, ask_user and output_read, through the real loop."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from agentd.core.history import blobs_of
from agentd.core.session_tools import SessionTools
from agentd.ports import ToolContext
from agentwire.errors import ToolError
from agentwire.types import BlobRef, Text, Todo
from tests.fakes.house import House, open_house
from tests.fakes.models import Ask, FakeModels, Say, count_results
from tests.fakes.tools import FakeTools, spec

pytestmark = pytest.mark.usefixtures("autojump_clock")


def asking(*calls: tuple[str, str]) -> FakeModels:
    """A model that makes these calls, one a step, and then says so."""
    return FakeModels(lambda prompt: Ask([calls[done]]) if (done := count_results(prompt)) < len(calls) else Say(["done"]))


def tools(house: list[House]) -> SessionTools:
    def handles(session: str) -> frozenset[str]:
        return next(blobs_of(live.state.messages) for live in house[0].sessions.loaded if live.state.id == session)

    class Late:
        async def get_blob(self, *where: Any) -> tuple[bytes, int] | None:
            return await house[0].store.get_blob(*where)

    return SessionTools(Late(), handles)  # type: ignore[arg-type]


def results(house: House) -> list[tuple[str, str]]:
    return [
        (event.body.outcome, "".join(part.text for part in event.body.parts if isinstance(part, Text)))
        for event in house.events
        if event.kind == "tool_finished"
    ]


async def test_the_list_is_the_sessions() -> None:
    """It commits with the call's outcome, is in the view, and the whole list is replaced each time."""
    first = '{"todos": [{"text": "look", "state": "in_progress"}, {"text": "mend", "state": "pending"}]}'
    models = asking(("todo", first), ("todo", '{"todos": [{"text": "mend", "state": "done"}]}'))
    made: list[House] = []
    async with open_house(models, tools(made)) as house:
        made.append(house)
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        assert live.state.todos == live.view.todos == (Todo(text="mend", state="done"),)
        assert results(house) == [("ok", "[>] look\n[ ] mend"), ("ok", "[x] mend")]
        kinds = house.kinds(live)
        assert kinds[kinds.index("todos_changed") + 1] == "tool_finished"


@pytest.mark.parametrize(
    "todos",
    ['[{"text": ""}]', '[{"text": "a", "state": "soon"}]', '"a"', '[{"txt": "a"}]', "[" + ",".join(['{"text": "a"}'] * 101) + "]"],
)
async def test_a_list_that_is_none(todos: str) -> None:
    """The model reads what is wrong; the list stays."""
    made: list[House] = []
    async with open_house(asking(("todo", f'{{"todos": {todos}}}')), tools(made)) as house:
        made.append(house)
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        assert live.state.todos == () and results(house)[0][0] in ("error", "invalid_arguments")


async def test_a_question_is_answered_by_the_user() -> None:
    """It waits as an approval; what the user says with it is the result."""
    made: list[House] = []
    async with open_house(asking(("ask_user", '{"question": "Which?"}')), tools(made)) as house:
        made.append(house)
        live = await house.create()
        await house.prompt(live, "go", interactive=True)
        await house.until(live, "awaiting_approval")
        (asked,) = live.view.approvals
        assert (asked.name, asked.proposes) == ("ask_user", ())
        answer = {"session": live.state.id, "call": asked.call, "arguments_hash": asked.arguments_hash}
        await house.call("approval/answer", **answer, decision="allow", note="the blue one")
        await house.idle(live)
        assert results(house) == [("ok", "the blue one")]


async def test_nobody_is_asked_where_nobody_is() -> None:
    """Not even in mode bypass is a question answered by itself."""
    made: list[House] = []
    async with open_house(asking(("ask_user", '{"question": "Which?"}')), tools(made)) as house:
        made.append(house)
        live = await house.create()
        await house.call("session/set", session=live.state.id, preferences={"mode": "bypass"})
        await house.prompt(live, "go")
        await house.idle(live)
        assert results(house)[0][0] == "denied"


async def test_a_long_result_is_read_on() -> None:
    """By the beginning of its handle, in pieces, from the end, and to its end."""
    long = "".join(f"line {number}\n" for number in range(20_000))
    made: list[House] = []
    source = tools(made)
    async with open_house(asking(("long", "{}")), FakeTools([spec("long")], {"long": [long]}), source) as house:
        made.append(house)
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        (part,) = (part for message in live.state.messages if message.role == "tool" for part in message.parts[0].parts)  # type: ignore[union-attr]
        assert isinstance(part, BlobRef) and part.bytes == len(long)
        context = ToolContext(call="c", session=live.state.id, cwd="/")

        async def read(**arguments: Any) -> str:
            outcome = await source.call("output_read", {"handle": part.blob[:16], **arguments}, context)
            assert isinstance(outcome.parts[0], Text)
            return outcome.parts[0].text

        first = await read(offset=len(part.head), limit=1000)
        assert (
            first.startswith(long[len(part.head) : len(part.head) + 1000]) and f"go on with offset {len(part.head) + 1000}" in first
        )
        assert (await read(offset=-10)).startswith(long[-10:]) and "this is the end" in await read(offset=-10)
        assert len(await read(limit=10**9)) < 70_000
        for wrong in ("0" * 16, "", "abc", "zz" * 8):
            with pytest.raises(ToolError, match="no result with the handle"):
                await source.call("output_read", {"handle": wrong}, context)


async def test_the_source_runs_and_has_nothing_to_refresh() -> None:
    """Like every source."""
    async with trio.open_nursery() as nursery:
        await nursery.start(tools([]).run)
    await tools([]).refresh()
