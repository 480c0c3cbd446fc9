"""What drives turns: inputs and what they are given, cancels, answers."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve

from agentd.core.api import Caller
from agentwire.errors import Conflict, InvalidParams, NotFound
from agentwire.types import SessionFilter
from tests.fakes.house import SETTINGS, open_house
from tests.fakes.models import Ask, FakeModels, Say, count_results, waiting_model
from tests.fakes.tools import FakeTools, spec


def asking() -> FakeModels:
    """A model that calls `look` once."""
    return FakeModels(lambda prompt: Say(["Fine."]) if count_results(prompt) else Ask([("look", "{}")]))


async def test_a_prompt_says_where_its_input_went(autojump_clock: trio.testing.MockClock) -> None:
    """The turn it started, or none if it waits; inputs are numbered in the order they were taken."""
    async with open_house(waiting_model()) as house:
        session = (await house.create()).state.id
        parts = [{"kind": "text", "text": "hi"}]
        answers = [await house.ask("session/prompt", session=session, parts=parts) for _ in range(3)]
        assert answers == [
            {"input": 1, "seq": 2, "turn": 1},
            {"input": 2, "seq": 4, "turn": None},
            {"input": 3, "seq": 5, "turn": None},
        ]


@pytest.mark.parametrize(
    ("preference", "asked_for", "expected"),
    [
        ({}, {}, ("fake/model", 7)),
        ({"model": "own", "max_steps": 5}, {}, ("fake/own", 5)),
        ({"model": "own", "max_steps": 5}, {"model": "other/x", "max_steps": 3}, ("other/x", 3)),
    ],
)
async def test_the_nearest_wish_counts(
    autojump_clock: trio.testing.MockClock, preference: dict[str, Any], asked_for: dict[str, Any], expected: tuple[str, int]
) -> None:
    """Model and steps: the prompt's before the session's before the configuration's."""
    async with open_house(waiting_model(), settings=evolve(SETTINGS, max_steps=7)) as house:
        live = await house.create()
        await house.ask("session/set", session=live.state.id, preferences=preference)
        await house.prompt(live, "hi", **asked_for)
        assert live.state.turn and (live.state.turn.model, live.state.turn.max_steps) == expected
        with pytest.raises(InvalidParams, match="gone"):
            await house.prompt(live, "hi", model="gone/x")


async def test_only_a_turn_that_runs_is_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    """The answer names it; an idle session has none, and its next turn is not hit."""
    async with open_house(waiting_model()) as house:
        live = await house.create()
        assert await house.ask("session/cancel", session=live.state.id) == {"turn": None}
        await house.prompt(live, "hi")
        assert await house.ask("session/cancel", session=live.state.id) == {"turn": 1}
        await house.idle(live)
        assert house.events[-1].body.outcome == "cancelled"
        await house.prompt(live, "again")
        await trio.testing.wait_all_tasks_blocked()
        assert live.state.turn and live.state.turn.number == 2


async def test_nobody_answers_for_another_user(autojump_clock: trio.testing.MockClock) -> None:
    """A foreign session has no questions, and no turn to cancel."""
    async with open_house(asking(), FakeTools([spec("look", policy="ask")])) as house:
        live = await house.create()
        await house.prompt(live, "go", interactive=True)
        await house.until(live, "awaiting_approval")
        (question,) = live.view.approvals
        answer = {"session": live.state.id, "call": question.call, "arguments_hash": question.arguments_hash, "decision": "allow"}
        for method, params in (("approval/answer", answer), ("session/cancel", {"session": live.state.id})):
            with pytest.raises(NotFound):
                await house.api.dispatch(Caller(user="ann", admin=False), method, params)
        assert live.state.status == "awaiting_approval"


@pytest.mark.parametrize("steps", range(12))
async def test_an_answer_and_the_end_of_the_turn_at_the_same_moment(autojump_clock: trio.testing.MockClock, steps: int) -> None:
    """However they meet, the log is valid: either the answer came first, or it is refused and nothing of it is written."""
    async with open_house(asking(), FakeTools([spec("look", policy="ask")])) as house:
        live = await house.create()
        await house.prompt(live, "go", interactive=True)
        await house.until(live, "awaiting_approval")
        (question,) = live.view.approvals
        answer = {"session": live.state.id, "call": question.call, "arguments_hash": question.arguments_hash, "decision": "allow"}
        await house.call("session/cancel", session=live.state.id)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        try:
            await house.call("approval/answer", **answer)
        except (Conflict, NotFound):
            assert "approval_answered" not in house.kinds(live)
        await house.idle(live)
        assert house.kinds(live)[-1] == "turn_finished"
        (row,) = await house.store.sessions("local", SessionFilter(), before="", limit=2)
        assert row.status == "idle"


async def test_an_approval_is_bound_to_its_call(autojump_clock: trio.testing.MockClock) -> None:
    """Wrong arguments are refused, the first answer wins, the second hears who won; then the call runs."""
    tools = FakeTools([spec("look", policy="ask")])
    async with open_house(asking(), tools) as house:
        live = await house.create()
        await house.prompt(live, "go", interactive=True)
        await house.until(live, "awaiting_approval")
        (question,) = live.view.approvals
        answer = {"session": live.state.id, "call": question.call, "arguments_hash": question.arguments_hash}
        with pytest.raises(Conflict, match="other arguments"):
            await house.call("approval/answer", **{**answer, "arguments_hash": "0" * 64}, decision="allow")
        outcomes: list[str] = []

        async def say(decision: str) -> None:
            try:
                await house.call("approval/answer", **answer, decision=decision)
                outcomes.append(decision)
            except Conflict as error:
                outcomes.append(str(error))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(say, "allow")
            nursery.start_soon(say, "deny")
        await house.idle(live)
        assert len(outcomes) == 2 and sum("answered already" in outcome for outcome in outcomes) == 1
        assert len(tools.calls) == ("allow" in outcomes)
