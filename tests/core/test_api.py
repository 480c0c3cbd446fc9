"""The method table as callers see it: parameters, idempotency, pages, errors."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from agentd.core.api import Caller
from agentwire.errors import Conflict, InternalError, InvalidParams, NotFound, UnknownMethod
from agentwire.methods import METHODS
from tests.fakes.house import open_house
from tests.fakes.models import FakeModels, Say

HELLO = FakeModels(lambda prompt: Say(["Hello"]))


def plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


async def test_every_method_of_the_table_is_answered(autojump_clock: trio.testing.MockClock) -> None:
    """No method is only declared (initialize and watches are the connection's, store/* the keeper's)."""
    async with open_house(HELLO) as house:
        elsewhere = {"initialize", "session/watch", "session/unwatch"} | {name for name in METHODS if name.startswith("store/")}
        for name in METHODS.keys() - elsewhere:
            with pytest.raises(InvalidParams):
                await house.call(name, surely_no_such_parameter=1)
        with pytest.raises(UnknownMethod):
            await house.call("session/explode")


async def test_the_same_key_is_the_same_answer(autojump_clock: trio.testing.MockClock) -> None:
    """Ten identical prompts at once and one later: one input, one answer; other parameters under the key are refused."""
    async with open_house(HELLO) as house:
        live = await house.create()
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(plain(await house.prompt(live, "once", key="k1")))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask)
        await house.idle(live)
        await ask()
        assert answers == [answers[0]] * 11 and live.state.inputs == 1
        with pytest.raises(Conflict):
            await house.prompt(live, "other", key="k1")


async def test_a_session_is_created_once_per_key(autojump_clock: trio.testing.MockClock) -> None:
    """A client that did not hear the answer asks again and gets the same session; keys belong to their user."""
    async with open_house(HELLO) as house:
        first, second = [plain(await house.call("session/create", cwd="/x", key="k")) for _ in range(2)]
        assert first == second
        other = plain(await house.api.dispatch(Caller(user="ann", admin=False), "session/create", {"cwd": "/x", "key": "k"}))
        assert other["id"] != first["id"]


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


async def test_pages_of_events(autojump_clock: trio.testing.MockClock) -> None:
    """Forward and backward pages together are the log; `more` tells whether there is more."""
    async with open_house(HELLO) as house:
        live = await house.create()
        await house.prompt(live, "hi")
        await house.idle(live)
        session = live.state.id
        forward = await house.call("event/list", session=session, after=1, limit=2)
        assert [event["seq"] for event in plain(forward)["events"]] == [2, 3] and forward.more  # type: ignore[attr-defined]
        back = await house.call("event/list", session=session, before=3, limit=5)
        assert [event["seq"] for event in plain(back)["events"]] == [1, 2] and not back.more  # type: ignore[attr-defined]
        with pytest.raises(InvalidParams):
            await house.call("event/list", session=session, before=3, after=1)


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


async def test_stop_reaches_the_host(autojump_clock: trio.testing.MockClock) -> None:
    """daemon/stop answers and asks the daemon to stop."""
    async with open_house(HELLO) as house:
        await house.call("daemon/stop")
        assert house.host.stopped


async def test_an_input_over_the_event_limit_is_refused_and_the_session_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    """The error says how large is too large; the reserved turn is free again."""
    async with open_house(HELLO) as house:
        live = await house.create()
        with pytest.raises(InvalidParams, match="1 MiB"):
            await house.prompt(live, "x" * (2**20 + 1))
        await house.prompt(live, "short")
        await house.idle(live)
        assert live.state.turns == 1
