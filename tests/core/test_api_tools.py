"""The methods about tools, as a client has them."""

from __future__ import annotations

import pytest

from agentwire.errors import NotFound
from tests.fakes.house import open_house
from tests.fakes.models import Ask, FakeModels, Say, count_results
from tests.fakes.tools import FakeTools, spec

TOOLS = FakeTools([spec("look", effect="read"), spec("pay", policy="ask", n={"type": "integer"})])


async def test_tools_are_listed_with_what_has_become_of_their_calls() -> None:
    """Of models and of people alike; a tool whose name is taken is in none of them, and said."""
    models = FakeModels(lambda prompt: Say(["ok"]) if count_results(prompt) else Ask([("look", "{}"), ("pay", '{"n": 1}')]))
    twin = FakeTools([spec("look")], name="twin")
    async with open_house(models, TOOLS, twin) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        await house.ask("tool/call", name="pay", arguments={"n": 2})
        listed = await house.ask("tool/list")
        look, pay = listed["tools"]
        assert (look["name"], look["source"], look["effect"], look["policy"], look["calls"]) == ("look", "fake", "read", "allow", 1)
        assert (pay["calls"], pay["denied"], pay["errors"]) == (2, 1, 0) and pay["parameters"]["required"] == ["n"]
        assert pay["last_at"] >= look["last_at"] > 0
        assert listed["warnings"] == ["the tool look of twin is not offered: fake has one of that name"]


async def test_history_is_paged_and_filtered() -> None:
    """Newest first; a page says where the next begins; a foreign session is none."""
    async with open_house(FakeModels(lambda _: Say(["ok"])), TOOLS) as house:
        live = await house.create()
        for number in range(5):
            await house.ask("tool/call", name="pay", arguments={"n": number}, session=live.state.id if number % 2 else "")
        page = await house.ask("tool/history", limit=2)
        assert [call["arguments_json"] for call in page["calls"]] == ['{"n":4}', '{"n":3}']
        rest = await house.ask("tool/history", before=page["cursor"], limit=3)
        assert len(rest["calls"]) == 3 and rest["cursor"] is None
        its = await house.ask("tool/history", session=live.state.id[:9], outcome="ok")
        assert [call["arguments_json"] for call in its["calls"]] == ['{"n":3}', '{"n":1}']
        assert (await house.ask("tool/history", outcome="open"))["calls"] == []
        with pytest.raises(NotFound):
            await house.ask("tool/history", session="f" * 32)


async def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    """Or with where to look."""
    async with open_house(FakeModels(lambda _: Say(["ok"])), TOOLS) as house:
        with pytest.raises(NotFound, match="no tool called lok; did you mean look"):
            await house.call("tool/call", name="lok")
        with pytest.raises(NotFound, match="agentctl tool list"):
            await house.call("tool/call", name="zzzzzz")
