"""What was used, as a client is told."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve

from agentd.core.api import Caller
from agentd.core.budget import Budgets
from agentwire.errors import Denied, InvalidParams, NotFound
from agentwire.types import Price, Usage
from tests.fakes.house import SETTINGS, House, TrioClock, open_house
from tests.fakes.models import Ask, FakeModels, Reply, Say, count_results
from tests.fakes.tools import FakeTools, spec

PRICE = Price(input=1.0, output=10.0, cached=0.1)
DAY = 86400.0
USED = Usage(input=1000, output=100, cached=500, reasoning=20)


class LongDays(TrioClock):
    """A day passes with each second."""

    def now(self) -> float:
        return 1_800_000_000 + trio.current_time() * DAY


async def asked(house: House, times: int = 1, **params: Any) -> str:
    """A session with so many turns, a day each."""
    live = await house.create(title="about costs")
    for _ in range(times):
        await house.prompt(live, "go", **params)
        await house.idle(live)
        await trio.sleep(1)
    return live.state.id


def priced(price: Price | None = PRICE) -> FakeModels:
    return FakeModels(lambda _: Say(["x"], usage=USED), price=price)


async def test_days_sessions_and_models(autojump_clock: trio.testing.MockClock) -> None:
    """Sums of each, and of all; the total counts what the limit leaves out."""
    async with open_house(priced(), clock=LongDays()) as house:
        first = await asked(house, 2)
        await asked(house, model="fake/other")
        days = await house.ask("usage/get")
        assert [(row["key"], row["requests"], row["cost"]) for row in days["rows"]] == [
            ("2027-01-17", 1, 0.00155),
            ("2027-01-16", 1, 0.00155),
            ("2027-01-15", 1, 0.00155),
        ]
        assert days["total"]["requests"] == 3 and days["total"]["usage"] == {
            "input": 3000,
            "output": 300,
            "cached": 1500,
            "reasoning": 60,
            "written": 0,
        }
        sessions = await house.ask("usage/get", by="session", limit=1)
        assert [(row["key"], row["title"], row["requests"]) for row in sessions["rows"]] == [(first, "about costs", 2)]
        assert sessions["total"]["requests"] == 3
        models = await house.ask("usage/get", by="model", session=first[:8])
        assert [(row["key"], row["requests"]) for row in models["rows"]] == [("fake/model", 2)]
        assert models["total"]["requests"] == 2 and models["unpriced"] == []


async def test_days_from_and_to(autojump_clock: trio.testing.MockClock) -> None:
    """Whole ones, both included; where nothing was used there is a total of nothing."""
    async with open_house(priced(), clock=LongDays()) as house:
        await asked(house, 3)
        found = await house.ask("usage/get", since=1_800_000_000 + DAY, until=1_800_000_000 + DAY)
        assert [row["key"] for row in found["rows"]] == ["2027-01-16"] and found["total"]["requests"] == 1
        nothing = await house.ask("usage/get", until=0)
        assert nothing["rows"] == [] and nothing["total"]["requests"] == 0 and nothing["total"]["cost"] == 0


async def test_turns_of_a_session(autojump_clock: trio.testing.MockClock) -> None:
    """The newest first, each with all its requests and the models that answered; also the one that is open, and a part of them."""
    replies: list[Reply] = [Ask([("look", "{}")], usage=USED), Say(["done"], usage=USED)]
    models = FakeModels(lambda prompt: replies[min(count_results(prompt), 1)], price=PRICE)
    async with open_house(models, FakeTools([spec("look")]), clock=LongDays()) as house:
        session = await asked(house, 3)
        found = await house.ask("usage/get", by="turn", session=session)
        shown = [(row["key"], row["title"], row["requests"], row["cost"]) for row in found["rows"]]
        assert shown == [("3", "fake/model", 1, 0.00155), ("2", "fake/model", 1, 0.00155), ("1", "fake/model", 2, 0.0031)]
        assert found["total"]["requests"] == 4
        newest = await house.ask("usage/get", by="turn", session=session, limit=1)
        assert [row["key"] for row in newest["rows"]] == ["3"]
        second = await house.ask("usage/get", by="turn", session=session, since=1_800_000_000 + DAY, until=1_800_000_000 + DAY)
        assert [row["key"] for row in second["rows"]] == ["2"]
        with pytest.raises(InvalidParams):
            await house.call("usage/get", by="turn")


async def test_deleted_sessions_are_one_row(autojump_clock: trio.testing.MockClock) -> None:
    """Nobody can ask for one of them any more."""
    async with open_house(priced()) as house:
        session = await asked(house)
        await asked(house)
        await house.call("session/delete", session=session)
        rows = (await house.ask("usage/get", by="session"))["rows"]
        assert sorted((row["key"] == "", row["title"]) for row in rows) == [(False, "about costs"), (True, "deleted sessions")]
        with pytest.raises(NotFound):
            await house.call("usage/get", session=session)


async def test_what_has_no_price_is_named(autojump_clock: trio.testing.MockClock) -> None:
    """By its models: somebody may know the price. Its cost is not nothing, but not known."""
    async with open_house(priced(None)) as house:
        session = await asked(house)
        found = await house.ask("usage/get")
        assert found["unpriced"] == ["fake/model"] and (found["total"]["unpriced"], found["total"]["cost"]) == (1, None)
        for by in ("day", "session", "model", "turn"):
            (row,) = (await house.ask("usage/get", by=by, session=session))["rows"]
            assert (row["requests"], row["cost"]) == (1, None)


async def test_everybody_sees_his_own(autojump_clock: trio.testing.MockClock) -> None:
    """Only who administers sees the users."""
    async with open_house(priced()) as house:
        session = await asked(house)
        assert [row["key"] for row in (await house.ask("usage/get", by="user"))["rows"]] == ["local"]
        bob = Caller(user="bob", admin=False)
        report = await house.api.dispatch(bob, "usage/get", {})
        assert report.rows == () and report.total.requests == 0
        for params, error in (({"by": "user"}, Denied), ({"session": session}, NotFound)):
            with pytest.raises(error):
                await house.api.dispatch(bob, "usage/get", params)


async def test_budgets_are_told_with_what_is_used_of_them(autojump_clock: trio.testing.MockClock) -> None:
    """Those that are set; of a session if one is asked about."""
    budgets = Budgets(turn_cost=1.0, session_tokens=100_000, day_cost=5.0)
    async with open_house(priced(), settings=evolve(SETTINGS, budgets=budgets)) as house:
        session = await asked(house, 2)
        await asked(house)
        found = (await house.ask("usage/get", session=session))["budgets"]
        assert [(one["scope"], one["unit"], one["limit"], one["used"]) for one in found] == [
            ("turn", "usd", 1.0, 0.0),
            ("session", "tokens", 100_000, 2200),
            ("day", "usd", 5.0, pytest.approx(0.00465)),
        ]
        assert [one["used"] for one in (await house.ask("usage/get"))["budgets"]] == [0.0, 0, pytest.approx(0.00465)]
