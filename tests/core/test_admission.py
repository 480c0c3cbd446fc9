"""Whether an input is taken."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from agentd.core.admission import MAX_QUEUED
from agentwire.errors import InvalidParams, Overloaded
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
