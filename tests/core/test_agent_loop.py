"""Turns as conversations: what the user and the model do, and the events that must come of it. Virtual time, inline store."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve

from agentd.ports import Prompt
from agentwire.errors import AuthFailed, ContextTooLong, ProviderDown, RateLimited
from agentwire.types import BlobRef, Text
from tests.fakes.house import SETTINGS, House, open_house
from tests.fakes.models import Ask, FakeModels, Reply, Say, count_results
from tests.fakes.tools import FakeTools, said, spec

DOWN = ProviderDown("cut")


def after_tools(*replies: Reply) -> Any:
    return lambda prompt: replies[min(count_results(prompt), len(replies) - 1)]


def in_turn(*replies: Reply) -> Any:
    queue = list(replies)
    return lambda prompt: queue.pop(0) if len(queue) > 1 else queue[0]


def last_text(house: House, live: Any) -> str:
    parts = live.state.messages[-1].parts
    return "".join(part.text for part in parts if isinstance(part, Text))


async def test_a_question_and_its_answer(autojump_clock: trio.testing.MockClock) -> None:
    """The shortest turn: four events, in this order."""
    async with open_house(FakeModels(in_turn(Say(["Hel", "lo"])))) as house:
        live = await house.create()
        await house.prompt(live, "hi")
        await house.idle(live)
        assert house.kinds(live) == ["session_created", "input_accepted", "turn_started", "assistant_message", "turn_finished"]
        assert last_text(house, live) == "Hello"


async def test_parallel_calls_run_in_parallel(autojump_clock: trio.testing.MockClock) -> None:
    """Two calls of one reply are both under way before either ends; message, plans and starts are one commit."""
    gate = trio.Event()
    tools = FakeTools([spec("look")], gates={"look": gate})
    async with open_house(
        FakeModels(after_tools(Ask([("look", "{}"), ("look", "{}")]), Say(["x"]), Say(["done"]))), tools
    ) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        assert len(tools.calls) == 2
        assert house.kinds(live)[3:] == ["assistant_message", "tool_planned", "tool_started", "tool_planned", "tool_started"]
        gate.set()
        await house.idle(live)
        assert last_text(house, live) == "done"


async def test_a_reply_that_breaks_off_goes_on_from_what_was_shown(autojump_clock: trio.testing.MockClock) -> None:
    """The seam is an event; the final history has the text once; the request says that it continues."""
    models = FakeModels(in_turn(Say(["Half a "], error=DOWN), Say(["sentence."])))
    async with open_house(models) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        assert house.kinds(live)[3:] == ["assistant_message", "reply_restarted", "assistant_message", "turn_finished"]
        assert last_text(house, live) == "Half a sentence."
        assert [prompt.continuing for prompt in models.prompts] == [False, True]


async def test_a_model_that_always_breaks_off_ends_the_turn(autojump_clock: trio.testing.MockClock) -> None:
    """At most four requests; what was shown stays; the error says it can be tried again."""
    models = FakeModels(in_turn(Say(["x"], error=DOWN)))
    async with open_house(models) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        end = house.events[-1].body
        assert (end.outcome, end.error.code, end.error.retryable) == ("failed", "provider_down", True)
        assert len(models.prompts) == 6 and last_text(house, live) == "xxxxxx"


async def test_a_turn_that_fails_says_when_to_come_back(autojump_clock: trio.testing.MockClock) -> None:
    """If anybody knows."""
    busy = RateLimited("busy", retry_after=90)
    async with open_house(FakeModels(in_turn(Say([], error=busy)))) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        end = house.events[-1].body
        assert (end.error.code, end.error.retryable, end.error.retry_after) == ("rate_limited", True, 90)


async def test_what_is_too_long_for_the_vendor_is_asked_again_with_less(autojump_clock: trio.testing.MockClock) -> None:
    """Twice; each time the oldest turns go. The last answer counts, or the vendor's first word."""
    long = Say([], error=ContextTooLong("the vendor says: too long"))
    script = in_turn(*[Say(["x" * 1000])] * 8, long, long, Say(["fits"]), long)
    lengths: list[int] = []

    def reply(prompt: Prompt) -> Reply:
        lengths.append(len(prompt.messages))
        return script(prompt)  # type: ignore[no-any-return]

    async with open_house(FakeModels(reply)) as house:
        live = await house.create()
        for _ in range(8):
            await house.prompt(live, "tell me")
            await house.idle(live)
        await house.prompt(live, "sum it up")
        await house.idle(live)
        assert last_text(house, live) == "fits"
        assert lengths[8:] == [17, 9, 3]
        await house.prompt(live, "again")
        await house.idle(live)
        assert house.events[-1].body.error.message == "the vendor says: too long"
        assert len(lengths) == 8 + 3 + 3


@pytest.mark.parametrize("error", [AuthFailed("bad key"), DOWN])
async def test_a_request_that_gave_nothing_fails_the_turn(autojump_clock: trio.testing.MockClock, error: Any) -> None:
    """The router has tried; the session stays usable."""
    models = FakeModels(in_turn(Say([], error=error), Say(["better"])))
    async with open_house(models) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        assert house.events[-1].body.error.code == error.code
        await house.prompt(live, "again")
        await house.idle(live)
        assert last_text(house, live) == "better"


async def test_cancel_keeps_what_was_shown(autojump_clock: trio.testing.MockClock) -> None:
    """The turn ends cancelled, its partial text is marked, the next input starts a turn of its own."""
    async with open_house(FakeModels(in_turn(Say(["Half"], gate=trio.Event()), Say(["next"])))) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.prompt(live, "then this")
        await trio.testing.wait_all_tasks_blocked()
        cancelled = await house.call("session/cancel", session=live.state.id)
        assert cancelled.turn == 1  # type: ignore[attr-defined]
        await house.idle(live)
        ends = [event.body for event in house.events if event.kind in ("assistant_message", "turn_finished")]
        assert [getattr(body, "stop", None) or body.outcome for body in ends] == ["interrupted", "cancelled", "end", "done"]


async def test_cancel_ends_running_tools(autojump_clock: trio.testing.MockClock) -> None:
    """A started call without exit is unknown, and its tool heard of it."""
    tools = FakeTools([spec("look")], gates={"look": trio.Event()})
    async with open_house(FakeModels(in_turn(Ask([("look", "{}")]))), tools) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        await house.call("session/cancel", session=live.state.id)
        await house.idle(live)
        assert [event.body.outcome for event in house.events if event.kind == "tool_finished"] == ["unknown"]
        assert len(tools.cancelled) == 1


async def test_interrupt_goes_first(autojump_clock: trio.testing.MockClock) -> None:
    """It cancels the running turn and overtakes what was queued."""
    async with open_house(FakeModels(in_turn(Say(["a"], gate=trio.Event()), Say(["b"])))) as house:
        live = await house.create()
        await house.prompt(live, "first")
        await house.prompt(live, "queued")
        await trio.testing.wait_all_tasks_blocked()
        await house.prompt(live, "now!", delivery="interrupt")
        await house.idle(live)
        users = [message.parts[0].text for message in live.state.messages if message.role == "user"]  # type: ignore[union-attr]
        assert users == ["first", "now!", "queued"]


async def test_the_newest_interrupt_is_the_one_that_runs_on(autojump_clock: trio.testing.MockClock) -> None:
    """Two interrupts at once: both are answered to in their order, the first gives way to the second at once."""

    def patient(prompt: Prompt) -> Reply:
        newest = prompt.messages[-1].parts[0].text  # type: ignore[union-attr]
        return Say(["a"], gate=None if newest in ("second!", "queued") else trio.Event())

    async with open_house(FakeModels(patient)) as house:
        live = await house.create()
        await house.prompt(live, "start")
        await house.prompt(live, "queued")
        for text in ("first!", "second!"):  # one after the other: tasks of a nursery start in any order
            await house.prompt(live, text, delivery="interrupt")
        await house.idle(live)
        ends = [event.body.outcome for event in house.events if event.kind == "turn_finished"]
        assert ends == ["cancelled", "cancelled", "done", "done"]


async def test_a_steer_is_heard_before_the_next_request(autojump_clock: trio.testing.MockClock) -> None:
    """While a call waits for approval, a steer skips it; the model sees results, then the user's words."""
    tools = FakeTools([spec("look", policy="ask")])
    models = FakeModels(after_tools(Ask([("look", "{}")]), Say(["Fine."])))
    async with open_house(models, tools) as house:
        live = await house.create()
        await house.prompt(live, "go", interactive=True)
        await house.until(live, "awaiting_approval")
        await house.prompt(live, "rather not", delivery="steer")
        await house.idle(live)
        assert [message.role for message in live.state.messages] == ["user", "assistant", "tool", "user", "assistant"]
        assert tools.calls == []
        assert house.kinds(live).count("turn_started") == 1


async def test_an_unanswered_question_is_denied_at_its_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """The model learns that nobody answered; the denial is counted."""
    settings = evolve(SETTINGS, approval_deadline=60.0)
    tools = FakeTools([spec("look", policy="ask")])
    async with open_house(FakeModels(after_tools(Ask([("look", "{}")]), Say(["ok"]))), tools, settings=settings) as house:
        live = await house.create()
        await house.prompt(live, "go", interactive=True)
        await house.idle(live)
        assert trio.current_time() >= 60.0
        assert house.events[-1].body.denials == 1 and tools.calls == []


async def test_nobody_there_means_no(autojump_clock: trio.testing.MockClock) -> None:
    """A prompt that is not interactive never waits for an approval."""
    tools = FakeTools([spec("look", policy="ask")])
    async with open_house(FakeModels(after_tools(Ask([("look", "{}")]), Say(["ok"]))), tools) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        assert house.events[-1].body.denials == 1


async def test_long_output_is_a_blob(autojump_clock: trio.testing.MockClock) -> None:
    """The event has the head, the tail and the address; the whole is there, in the session that made it."""
    tools = FakeTools([spec("look")], results={"look": [said("x" * 199_000 + "y" * 1000)]})
    async with open_house(FakeModels(after_tools(Ask([("look", "{}")]), Say(["ok"]))), tools) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        (part,) = next(event.body.parts for event in house.events if event.kind == "tool_finished")
        assert isinstance(part, BlobRef) and part.bytes == 200_000 and len(part.head) < 20_000
        assert part.tail.endswith("xy" + 999 * "y") and len(part.tail) < 20_000
        piece = await house.call("blob/get", session=live.state.id, blob=part.blob)
        assert piece.bytes == 200_000  # type: ignore[attr-defined]


async def test_a_bug_in_a_tool_ends_the_turn_and_nothing_else(autojump_clock: trio.testing.MockClock) -> None:
    """The user gets an id, other sessions do not notice, the session stays usable."""

    def bug(*_: Any) -> Any:
        raise ZeroDivisionError

    tools = FakeTools([spec("look")], results={"look": [bug]})
    async with open_house(FakeModels(in_turn(Ask([("look", "{}"), ("look", "{}")]), Say(["ok"]))), tools) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        end = house.events[-1].body
        assert (end.outcome, end.error.code) == ("failed", "internal_error")
        await house.prompt(live, "again")
        await house.idle(live)
        assert last_text(house, live) == "ok"


async def test_an_endless_reply_ends_with_length(autojump_clock: trio.testing.MockClock) -> None:
    """No event exceeds its limit, however much a model writes."""
    async with open_house(FakeModels(in_turn(Say(["y" * 100_000] * 20)))) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        message = next(event for event in house.events if event.kind == "assistant_message")
        assert message.body.stop == "length" and len(message.data) < 2**20


async def test_the_model_may_call_a_tool_twenty_times_but_not_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    """max_steps of the prompt holds."""
    tools = FakeTools([spec("look")])
    async with open_house(FakeModels(in_turn(Ask([("look", "{}")]))), tools) as house:
        live = await house.create()
        await house.prompt(live, "go", max_steps=3)
        await house.idle(live)
        assert house.events[-1].body.error.code == "turn_limit" and len(tools.calls) == 3


async def test_two_turns_never_run_in_one_session(autojump_clock: trio.testing.MockClock) -> None:
    """Ten prompts at once: ten turns, one after the other, in the order they were accepted."""

    def echo(prompt: Prompt) -> Reply:
        return Say([str(len(prompt.messages))])

    async with open_house(FakeModels(echo)) as house:
        live = await house.create()
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(house.prompt, live, f"{number}")
        await house.idle(live)
        kinds = [kind for kind in house.kinds(live) if kind in ("turn_started", "turn_finished")]
        assert kinds == ["turn_started", "turn_finished"] * 10
        accepted = [event.body.input for event in house.events if event.kind == "input_accepted"]
        began = [event.body.input for event in house.events if event.kind == "turn_started"]
        assert began == accepted == list(range(1, 11))


async def test_a_model_that_goes_in_circles_is_stopped_and_the_session_stays_usable(autojump_clock: trio.testing.MockClock) -> None:
    """It is told before; the next turn begins anew."""
    tools = FakeTools([spec("look")])
    models = FakeModels(lambda prompt: Say(["ok"]) if "stop" in str(prompt.messages) else Ask([("look", "{}")]))
    async with open_house(models, tools, settings=evolve(SETTINGS, max_repeats=4)) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.idle(live)
        assert house.events[-1].body.error.code == "repeated_calls" and len(tools.calls) == 4
        await house.prompt(live, "stop")
        await house.idle(live)
        assert house.events[-1].body.outcome == "done"


async def test_results_are_in_the_order_of_their_calls(autojump_clock: trio.testing.MockClock) -> None:
    """Whichever is over first: they run at the same time."""
    gates = {name: trio.Event() for name in ("a", "b", "c")}
    tools = FakeTools([spec(name) for name in gates], results={name: [name] for name in gates}, gates=gates)
    models = FakeModels(in_turn(Ask([(name, "{}") for name in gates]), Say(["ok"])))
    async with open_house(models, tools) as house:
        live = await house.create()
        await house.prompt(live, "go")
        for name in ("c", "a", "b"):
            await trio.testing.wait_all_tasks_blocked()
            assert len(tools.calls) == 3
            gates[name].set()
        await house.idle(live)
        assert [call.split("-")[-1] for call in tools.ended] == ["2", "0", "1"]
        (results,) = [message for message in live.state.messages if message.role == "tool"]
        assert [part.parts[0].text for part in results.parts] == ["a", "b", "c"]  # type: ignore[union-attr]
