"""Budgets hold whatever runs at once and however it ends, and what was reserved comes back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, evolve
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.accounts import Accounts
from agentd.core.budget import Budgets
from agentd.core.index import index_change
from agentd.core.state import SessionState
from agentd.ports import Message, ModelLimits, Prompt, UsageFilter
from agentd.store.opening import open_inline
from agentwire import events as ev
from agentwire.errors import BudgetExceeded, InternalError, ProviderDown
from agentwire.types import BudgetState, Price, Text, Usage, UsageRow
from tests.core.logs import accepted, created, event, finished, replied, started, state_of
from tests.core.test_recovery import left_open
from tests.fakes.house import SETTINGS, House, TrioClock, open_house
from tests.fakes.models import Ask, FakeModels, Reply, Say, count_results
from tests.fakes.tools import FakeTools, spec

PRICE = Price(input=1.0, output=10.0, cached=0.1)
DEAR = Price(input=100.0, output=1000.0, cached=10.0)
"""At which a reply of 10 and 1 tokens costs $0.002, and one of the 1,000 that may be asked for a dollar."""
DAY = 86400.0


# --- by itself -------------------------------------------------------------------------------------------------------------------


@define
class Bench:
    """Accounts without a daemon. `rows` is what the store says of today, or the error that it raises."""

    budgets: Budgets
    rows: Any = ()
    time: float = 20_000 * DAY

    def made(self) -> Accounts:
        return Accounts(self, FakeModels(lambda _: Say([])), self, lambda: evolve(SETTINGS, budgets=self.budgets))  # type: ignore[arg-type]

    def now(self) -> float:
        return self.time

    async def usage(self, by: str, which: UsageFilter, *, limit: int) -> Sequence[UsageRow]:
        if isinstance(self.rows, Exception):
            raise self.rows
        assert (by, which) == ("user", UsageFilter(since=int(self.time // DAY)))
        return tuple(self.rows)


def prompt(tokens: int) -> Prompt:
    return Prompt(model="m", system="", messages=[Message("user", (Text(text="x" * (tokens * 4 - 16)),))], max_output=1000)


LIMITS = ModelLimits(context=100_000, max_output=1000, chars_per_token=4.0, price=PRICE)


def session(name: str, user: str = "ann") -> SessionState:
    state = state_of(created(), accepted(1), started())
    state.id, state.user = name, user
    return state


def reply(name: str, usage: Usage, cost: float, *, at: float, user: str = "ann") -> ev.Event:
    return evolve(event(4, evolve(replied("x"), usage=usage, cost=cost)), stream=name, user=user, at=at)


def used(accounts: Accounts, user: str = "ann") -> tuple[float, float]:
    (day,) = accounts.budgets(user)
    return day.used, day.reserved


def test_a_request_is_reserved_until_its_reply_is_there() -> None:
    """At its worst; the reply counts for what it was. Users have budgets of their own."""
    accounts = Bench(Budgets(day_tokens=10_000)).made()
    admitted, asked = accounts.admit(session("s"), "a/m", LIMITS, prompt(500))
    assert (admitted.max_output, asked.tokens) == (1000, 500) and used(accounts) == (0, 1500)
    assert used(accounts, "bob") == (0, 0)
    accounts.apply(reply("s", Usage(input=480, output=20), 0.5, at=20_000 * DAY))
    assert used(accounts) == (500, 0)


def test_another_candidate_of_the_same_request_takes_its_place() -> None:
    """Either may be asked yet, so the worst of both is reserved, not their sum; and it does not stand in its own way."""
    accounts = Bench(Budgets(day_tokens=1600)).made()
    state = session("s")
    accounts.admit(state, "a/m", LIMITS, prompt(500))
    admitted, _ = accounts.admit(state, "b/m", LIMITS, prompt(1200))
    assert admitted.max_output == 400 and used(accounts) == (0, 1600)
    accounts.admit(state, "b/m", LIMITS, prompt(10))
    assert used(accounts) == (0, 1600)
    with pytest.raises(BudgetExceeded):
        accounts.admit(state, "c/m", LIMITS, prompt(1500))
    assert used(accounts) == (0, 1600)
    with pytest.raises(BudgetExceeded, match="1,600 tokens reserved"):
        accounts.admit(session("t"), "a/m", LIMITS, prompt(10))
    accounts.release("s")
    assert used(accounts) == (0, 0)


def test_a_turn_that_ends_has_nothing_on_its_way() -> None:
    """Also one that was ended without a reply."""
    accounts = Bench(Budgets(day_tokens=10_000)).made()
    accounts.admit(session("s"), "a/m", LIMITS, prompt(500))
    accounts.apply(evolve(event(5, finished("failed")), stream="s"))
    assert used(accounts) == (0, 0)


def test_a_day_ends_at_midnight_utc() -> None:
    """What is on its way counts for the day in which it comes; a clock that was set back begins no day anew."""
    bench = Bench(Budgets(day_tokens=10_000), time=20_000 * DAY + 86_399)
    accounts = bench.made()
    accounts.apply(reply("s", Usage(input=100), 0.5, at=bench.time))
    accounts.admit(session("s"), "a/m", LIMITS, prompt(500))
    assert used(accounts) == (100, 1500)
    bench.time += 2
    assert used(accounts) == (0, 1500)
    accounts.apply(reply("s", Usage(input=500), 0.5, at=bench.time))
    bench.time -= 2 * DAY
    assert used(accounts) == (500, 0)


async def test_what_was_used_today_is_read_from_the_store() -> None:
    """Of every user."""
    row = UsageRow(key="ann", requests=3, usage=Usage(input=70, output=30), cost=0.25, unpriced=0)
    accounts = Bench(Budgets(day_tokens=10_000), rows=[row]).made()
    await accounts.load()
    assert used(accounts) == (100, 0) and used(accounts, "bob") == (0, 0)


async def test_a_budget_is_not_kept_by_guess() -> None:
    """What was used cannot be read: no request under a day's budget, any other as ever."""
    accounts = Bench(Budgets(day_tokens=10), rows=InternalError("damaged")).made()
    await accounts.load()
    with pytest.raises(InternalError, match="today's budget cannot be kept: damaged"):
        accounts.admit(session("s"), "a/m", LIMITS, prompt(500))
    accounts = Bench(Budgets(turn_tokens=10_000), rows=InternalError("damaged")).made()
    await accounts.load()
    accounts.admit(session("s"), "a/m", LIMITS, prompt(500))


def test_ratios_are_learnt_for_all_sessions() -> None:
    """From requests that say something of tokens."""
    accounts = Bench(Budgets()).made()
    assert accounts.calibrated("a/m", LIMITS) == LIMITS
    _, asked = accounts.admit(session("s"), "a/m", LIMITS, prompt(1000))
    for _ in range(30):
        accounts.learn("a/m", asked, Usage(input=2000))
    assert accounts.calibrated("a/m", LIMITS).chars_per_token == 2.0
    accounts.learn("a/m", evolve(asked, plain=False), Usage(input=10**6))
    assert accounts.calibrated("a/m", LIMITS).chars_per_token == 2.0


_sessions = st.sampled_from(["s", "t", "u"])
_acts = st.one_of(
    st.tuples(st.just("ask"), _sessions, st.integers(10, 2000)),
    st.tuples(st.just("reply"), _sessions, st.integers(0, 100)),
    st.tuples(st.just("fail"), _sessions, st.just(0)),
)


@given(st.lists(_acts, max_size=40), st.integers(0, 20_000), st.floats(0, 0.05), st.floats(0, 0.02))
def test_no_interleaving_exceeds_a_budget(acts: list[tuple[str, str, int]], tokens: int, day: float, turn: float) -> None:
    """Replies come in any order, as long as they may be, or fail: what was used and what may still come stays within each budget;
    when nothing is on its way nothing is reserved."""
    bench = Bench(Budgets(day_tokens=tokens, day_cost=day, turn_cost=turn))
    accounts = bench.made()
    states = {name: session(name) for name in ("s", "t", "u")}
    open_requests: dict[str, tuple[int, int]] = {}
    for act, name, size in acts:
        if act == "ask":
            try:
                admitted, asked = accounts.admit(states[name], "a/m", LIMITS, prompt(size))
            except BudgetExceeded:
                continue
            open_requests[name] = (asked.tokens, admitted.max_output)
        elif name in open_requests:
            sent, allowed = open_requests.pop(name)
            if act == "fail":
                accounts.release(name)
            else:
                spent = Usage(input=sent, output=allowed * size // 100)
                body = evolve(replied("x"), usage=spent, cost=(spent.input + 10 * spent.output) / 10**6)
                states[name].apply(evolve(event(states[name].seq + 1, body), stream=name))
                accounts.apply(evolve(event(9, body), stream=name, at=bench.time))
        for budget in accounts.budgets("ann"):
            assert budget.used + budget.reserved <= budget.limit + 1e-7
        for state in states.values():
            assert all(budget.used <= budget.limit + 1e-7 for budget in accounts.budgets("ann", state))
    if not open_requests:
        assert all(budget.reserved == 0 for budget in accounts.budgets("ann"))


# --- in turns --------------------------------------------------------------------------------------------------------------------


def of_kind(house: House, kind: str) -> list[Any]:
    return [event.body for event in house.events if event.kind == kind]


def day_of_house(house: House) -> BudgetState:
    return next(budget for budget in house.loop._accounts.budgets("local") if budget.scope == "day")


async def test_a_reply_has_its_price(autojump_clock: trio.testing.MockClock) -> None:
    """By what its host reports, else by an estimate; the turn has the sum, and so has the session."""
    usage = Usage(input=1000, output=100, cached=500)
    replies: list[Reply] = [Ask([("look", "{}")]), Say(["done"], usage=usage)]
    models = FakeModels(lambda prompt: replies[count_results(prompt)], price=PRICE)
    async with open_house(models, FakeTools([spec("look")])) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        first, second = of_kind(house, "assistant_message")
        assert first.estimated and first.usage.input > 100 and first.usage.output >= 1 and first.cost > 0.0001
        assert not second.estimated and (second.usage, second.cost) == (usage, 0.00155)
        (end,) = of_kind(house, "turn_finished")
        assert end.usage == first.usage + usage == live.state.usage
        assert end.cost == live.state.cost == pytest.approx(first.cost + 0.00155) and live.state.unpriced == 0


async def test_what_has_no_price_says_so(autojump_clock: trio.testing.MockClock) -> None:
    """The tokens count."""
    async with open_house(FakeModels(lambda _: Say(["x"]))) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        (end,) = of_kind(house, "turn_finished")
        assert end.cost is None and end.usage.input == 10 and (live.state.cost, live.state.unpriced) == (None, 1)


async def test_a_reply_that_is_cut_will_be_paid_for(autojump_clock: trio.testing.MockClock) -> None:
    """Cancelled or broken off: what was sent and what came is counted, in the message and in the end of the turn."""
    models = FakeModels(lambda _: Say(["x" * 70] * 10, gate=trio.Event()), price=PRICE)
    async with open_house(models) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        await house.call("session/cancel", session=live.state.id)
        await house.idle(live)
        (message,), (end,) = of_kind(house, "assistant_message"), of_kind(house, "turn_finished")
        assert message.estimated and message.usage.output == 200 and message.cost > 0.002
        assert (end.steps, end.usage, end.cost) == (1, message.usage, message.cost)


def turn_of(cost: float = 0.0, tokens: int = 0) -> Any:
    return evolve(SETTINGS, budgets=Budgets(turn_cost=cost, turn_tokens=tokens))


async def test_a_budget_stops_a_turn_in_its_second_step(autojump_clock: trio.testing.MockClock) -> None:
    """It ends failed with what to raise; the session goes on, and with a larger budget the next turn does, too."""
    replies: list[Reply] = [Ask([("look", "{}")], usage=Usage(input=9000, output=500)), Say(["done"])]
    models = FakeModels(lambda prompt: replies[min(count_results(prompt), 1)])
    async with open_house(models, FakeTools([spec("look")]), settings=turn_of(tokens=10_000)) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        (end,) = of_kind(house, "turn_finished")
        assert end.outcome == "failed" and end.steps == 1 and end.error.code == "budget_exceeded"
        assert "the turn's budget of 10,000 tokens" in end.error.message and "turn_tokens" in end.error.message
        assert len(models.prompts) == 1
        house.settings = turn_of(tokens=20_000)
        await house.prompt(live, "again")
        await house.idle(live)
        assert of_kind(house, "turn_finished")[-1].outcome == "done"


async def test_the_answer_is_as_long_as_the_budget_allows(autojump_clock: trio.testing.MockClock) -> None:
    """The model is asked for no more; a prompt's own limit holds where it is the lower one."""
    models = FakeModels(lambda _: Say(["x"]), price=DEAR)
    async with open_house(models, settings=turn_of(cost=0.9)) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.prompt(live, "go", max_cost=0.5)
        await house.prompt(live, "go", max_cost=0.05)
        await house.prompt(live, "go", max_cost=50.0)
        await house.idle(live)
        lengths = [prompt.max_output for prompt in models.prompts]
        assert 700 < lengths[0] < 900 and 300 < lengths[1] < 500 and abs(lengths[2] - lengths[0]) < 100 and len(lengths) == 3
        assert [end.outcome for end in of_kind(house, "turn_finished")] == ["done", "done", "failed", "done"]


async def test_a_price_nobody_knows_stops_what_has_a_limit_in_money(autojump_clock: trio.testing.MockClock) -> None:
    """And only that."""
    async with open_house(FakeModels(lambda _: Say(["x"]))) as house:
        live = await house.create()
        await house.prompt(live, "go", max_cost=5.0)
        await house.prompt(live, "go")
        await house.idle(live)
        first, second = of_kind(house, "turn_finished")
        assert first.error.code == "budget_exceeded" and "price of fake/model is not known" in first.error.message
        assert second.outcome == "done"


async def test_sessions_share_a_day(autojump_clock: trio.testing.MockClock) -> None:
    """While one is answered, what it may cost is not there for the other; once it is, the rest of it is."""
    gate = trio.Event()
    models = FakeModels(lambda _: Say(["x"], gate=gate), price=DEAR)
    settings = evolve(SETTINGS, budgets=Budgets(day_cost=1.1))
    async with open_house(models, settings=settings) as house:
        first, second = await house.create(), await house.create()
        await house.prompt(first, "go")
        await trio.testing.wait_all_tasks_blocked()
        assert day_of_house(house).reserved > 1.0
        await house.prompt(second, "go")
        await house.idle(second)
        assert [end.error.code for end in of_kind(house, "turn_finished")] == ["budget_exceeded"]
        gate.set()
        await house.idle(first)
        assert day_of_house(house).reserved == 0 and day_of_house(house).used == 0.002
        await house.prompt(second, "go")
        await house.idle(second)
        assert of_kind(house, "turn_finished")[-1].outcome == "done"


@pytest.mark.parametrize("how", ["cancel", "nothing", "cut"])
async def test_nothing_stays_reserved(how: str, autojump_clock: trio.testing.MockClock) -> None:
    """Of a turn that was cancelled before its first word, whose model could not be reached, or broke off for ever."""
    error = None if how == "cancel" else ProviderDown("down")
    models = FakeModels(
        lambda _: Say(["x"] * (how == "cut"), error=error, gate=trio.Event() if how == "cancel" else None), price=PRICE
    )
    async with open_house(models, settings=evolve(SETTINGS, budgets=Budgets(day_cost=5.0))) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        if how == "cancel":
            assert day_of_house(house).reserved > 0
            await house.call("session/cancel", session=live.state.id)
        await house.idle(live)
        assert day_of_house(house).reserved == 0
        assert (day_of_house(house).used > 0) == (how == "cut")


def test_the_next_boot_knows_what_was_used_today(tmp_path: Path) -> None:
    """And that a reply which a kill cut off will be paid for, too, by the price of today."""
    path = str(tmp_path / "log.db")
    turn = (created(), accepted(1), started(), evolve(replied("x"), cost=0.25, usage=Usage(input=900)))
    left = (*turn, finished(), accepted(2), evolve(started(2, 2), model="fake/model"))

    async def main() -> None:
        await left_open(path, *left)
        log = open_inline(index_change, TrioClock(), path)
        async with trio.open_nursery() as nursery:
            await nursery.start(log.run, lambda _: None)
            log.save_draft("a" * 32, b'[2,0,[[0,"text","","' + b"x" * 350 + b'"]],"fake/other"]')
            await log.flush()
            log.close()
        settings = evolve(SETTINGS, budgets=Budgets(day_cost=5.0))
        async with open_house(FakeModels(lambda _: Say(["y"]), price=PRICE), path=path, settings=settings) as house:
            assert day_of_house(house).used == 0.25
            await house.recover(resume=False)
            live = await house.sessions.open("local", "a" * 32)
            await house.idle(live)
            (message,) = of_kind(house, "assistant_message")
            assert (message.model, message.estimated, message.usage.output) == ("fake/other", True, 100)
            assert day_of_house(house).used == pytest.approx(0.25 + message.cost)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
