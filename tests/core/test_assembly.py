"""Core put together: everything that the table of methods promises is there."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from agentwire.errors import InvalidParams, UnknownMethod
from agentwire.methods import METHODS
from tests.fakes.house import open_house
from tests.fakes.models import FakeModels, Say

HELLO = FakeModels(lambda prompt: Say(["Hello"]))


async def test_every_method_of_the_table_is_answered(autojump_clock: trio.testing.MockClock) -> None:
    """No method is only declared (initialize and watches are the connection's, others the adapters')."""
    async with open_house(HELLO) as house:
        elsewhere = {"initialize", "session/watch", "session/unwatch", "model/pull", "model/test", "model/resolve"}
        elsewhere |= {name for name in METHODS if name.startswith("store/")}
        for name in METHODS.keys() - elsewhere:
            with pytest.raises(InvalidParams):
                await house.call(name, surely_no_such_parameter=1)
        with pytest.raises(UnknownMethod):
            await house.call("session/explode")
