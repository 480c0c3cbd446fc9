"""Whether an input is taken."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from agentd.core.admission import MAX_QUEUED, admit
from agentd.core.live import Live
from agentwire import events as ev
from agentwire.errors import InvalidParams, Overloaded
from agentwire.types import Text
from tests.core.logs import accepted, created, finished, replied, started, state_of
from tests.fakes.house import open_house
from tests.fakes.models import FakeModels, Say, waiting_model

HELLO = FakeModels(lambda prompt: Say(["Hello"]))


async def test_a_full_queue_says_so(autojump_clock: trio.testing.MockClock) -> None:
    """The input after the last place is refused, retryable, and nothing of it is in the log."""
    async with open_house(waiting_model()) as house:
        live = await house.create()
        for number in range(MAX_QUEUED + 1):
            await house.prompt(live, f"{number}")
        seq = live.state.seq
        with pytest.raises(Overloaded):
            await house.prompt(live, "one too many")
        assert live.state.seq == seq


async def test_an_input_over_the_event_limit_is_refused_and_the_session_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    """The error says how large is too large; the reserved turn is free again."""
    async with open_house(HELLO) as house:
        live = await house.create()
        with pytest.raises(InvalidParams, match="1 MiB"):
            await house.prompt(live, "x" * (2**20 + 1))
        await house.prompt(live, "short")
        await house.idle(live)
        assert live.state.turns == 1


async def test_what_waits_may_not_be_long(autojump_clock: trio.testing.MockClock) -> None:
    """All inputs that wait fit the view of whoever comes; a long one is taken when nothing waits before it."""
    async with open_house(waiting_model()) as house:
        live = await house.create()
        await house.prompt(live, "go")
        for _ in range(2):
            await house.prompt(live, "x" * 900_000)
        with pytest.raises(Overloaded, match="long"):
            await house.prompt(live, "x" * 900_000)
        await house.prompt(live, "short")
        assert len(live.state.queue) == 3


async def test_decided_and_reserved_at_once() -> None:
    """Before anything is in the log two inputs have two numbers, and only the first one starts a turn."""
    live = Live.of(state_of(created(), accepted(1), started(), replied("x"), finished()))
    admitted = [admit(live, (Text(text="hi"),), "queue", interactive=False, model="m/1", max_steps=3) for _ in range(2)]
    assert [(number, turn) for number, turn, _ in admitted] == [(2, 2), (3, None)] and live.busy
    assert [[ev.KIND_OF[type(new.body)] for new in events] for _, _, events in admitted] == [
        ["input_accepted", "turn_started"],
        ["input_accepted"],
    ]
