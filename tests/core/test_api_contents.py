"""What a session holds, as callers read and bring it: pages of events, messages, blobs."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from agentwire.errors import InvalidParams
from tests.fakes.house import open_house
from tests.fakes.models import FakeModels, Say

HELLO = FakeModels(lambda prompt: Say(["Hello"]))


async def test_pages_of_events(autojump_clock: trio.testing.MockClock) -> None:
    """Forward and backward pages together are the log; `more` tells whether there is more."""
    async with open_house(HELLO) as house:
        live = await house.create()
        await house.prompt(live, "hi")
        await house.idle(live)
        session = live.state.id
        forward = await house.ask("event/list", session=session, after=1, limit=2)
        assert [event["seq"] for event in forward["events"]] == [2, 3] and forward["more"]
        back = await house.ask("event/list", session=session, before=3, limit=5)
        assert [event["seq"] for event in back["events"]] == [1, 2] and not back["more"]
        with pytest.raises(InvalidParams):
            await house.call("event/list", session=session, before=3, after=1)
