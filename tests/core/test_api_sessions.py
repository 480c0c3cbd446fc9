"""Sessions as things: listed, named, configured, forked."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from agentwire.errors import InvalidParams
from tests.fakes.house import open_house
from tests.fakes.models import FakeModels, Say

HELLO = FakeModels(lambda prompt: Say(["Hello"]))


async def test_the_list_is_paged_newest_first(autojump_clock: trio.testing.MockClock) -> None:
    """Every session once, in order of activity, filtered by directory, also when times are equal."""
    async with open_house(HELLO) as house:
        made = [(await house.create(cwd="/a" if number % 2 else "/b")).state.id for number in range(7)]
        seen: list[str] = []
        cursor = ""
        while True:
            page = await house.call("session/list", limit=2, before=cursor)
            seen += [info.id for info in page.sessions]  # type: ignore[attr-defined]
            cursor = page.cursor  # type: ignore[attr-defined]
            if not cursor:
                break
        assert sorted(seen) == sorted(made) and len(seen) == 7
        only = await house.call("session/list", cwd="/a")
        assert {info.id for info in only.sessions} == set(made[1::2])  # type: ignore[attr-defined]
        with pytest.raises(InvalidParams, match="before"):
            await house.call("session/list", before="nonsense")


async def test_the_environment_of_a_session_is_an_allow_list(autojump_clock: trio.testing.MockClock) -> None:
    """No key of the client's environment gets into the log."""
    async with open_house(HELLO) as house:
        live = await house.create(environment={"PATH": "/bin", "OPENAI_API_KEY": "sk-secret"})
        assert live.state.environment == {"PATH": "/bin"}
        assert b"sk-secret" not in house.events[0].data


async def test_renaming(autojump_clock: trio.testing.MockClock) -> None:
    """The new title is in the answer, in the row and in the log."""
    async with open_house(HELLO) as house:
        live = await house.create()
        info = await house.call("session/rename", session=live.state.id, title="mine")
        assert info.title == "mine"  # type: ignore[attr-defined]
        assert (await house.call("session/list")).sessions[0].title == "mine"  # type: ignore[attr-defined]
