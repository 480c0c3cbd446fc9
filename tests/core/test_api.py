"""The method table as callers see it: what is not there, and what is a bug."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from agentwire.errors import InternalError, NotFound
from tests.fakes.house import open_house
from tests.fakes.models import FakeModels, Say

HELLO = FakeModels(lambda prompt: Say(["Hello"]))


async def test_what_is_not_there(autojump_clock: trio.testing.MockClock) -> None:
    """Unknown sessions, questions and blobs are NotFound; cancelling an idle session is no error."""
    async with open_house(HELLO) as house:
        live = await house.create()
        session = live.state.id
        assert (await house.call("session/cancel", session=session)).turn is None  # type: ignore[attr-defined]
        for method, params in (
            ("session/get", {"session": "f" * 32}),
            ("approval/answer", {"session": session, "call": "c", "arguments_hash": "", "decision": "allow"}),
            ("blob/get", {"session": session, "blob": "0" * 64}),
        ):
            with pytest.raises(NotFound):
                await house.call(method, **params)


async def test_a_bug_is_an_internal_error_with_an_id(autojump_clock: trio.testing.MockClock) -> None:
    """The client gets an id and no traceback."""

    async with open_house(HELLO) as house:
        with pytest.raises(InternalError) as caught:
            await house.call("daemon/status")  # the fake host raises NotImplementedError
        assert caught.value.details["id"] in str(caught.value)
