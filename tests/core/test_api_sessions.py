"""Sessions as things: listed, named, configured, forked."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings

from agentd.core import loading
from agentd.core.live import Live
from agentd.ports import Message, NewEvent
from agentwire.convert import plain
from agentwire.errors import AgentError, Conflict, InvalidParams, NotFound
from agentwire.types import Text
from tests.core.logs import Script, accepted, created, finished, replied, scripts, started, state_of
from tests.fakes.house import House, as_json, open_house
from tests.fakes.models import Ask, FakeModels, Say, count_results, waiting_model
from tests.fakes.tools import FakeTools, said, spec

Clock = trio.testing.MockClock
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


# --- settings --------------------------------------------------------------------------------------------------------------------


async def test_what_is_not_named_stays(autojump_clock: Clock) -> None:
    """Preferences that are null and variables that are not there; a variable that is null goes."""
    async with open_house(HELLO) as house:
        session = (await house.create(model="one")).state.id
        answer = await house.ask("session/settings", session=session)
        as_made = {"model": "fake/one", "max_steps": 0, "instructions": "", "pinned": False, "mode": ""}
        assert answer == {"preferences": as_made, "variables": {}}
        first = {"preferences": {"max_steps": 3, "instructions": "Be brief."}, "variables": {"A": "1", "B": "2"}}
        await house.ask("session/set", session=session, **first)
        answer = await house.ask("session/set", session=session, preferences={"pinned": True}, variables={"A": None, "C": ""})
        chosen = {"model": "fake/one", "max_steps": 3, "instructions": "Be brief.", "pinned": True, "mode": ""}
        assert answer == {"preferences": chosen, "variables": {"B": "2", "C": ""}}
        unset = {"model": "", "max_steps": 0, "instructions": "", "pinned": False}
        answer = await house.ask("session/set", session=session, preferences=unset, variables={"B": None, "C": None, "never": None})
        assert answer == {"preferences": {**as_made, "model": "fake/model"}, "variables": {}}
        assert answer == await house.ask("session/settings", session=session)


@pytest.mark.parametrize(
    "change",
    [
        {"preferences": {"max_steps": 10_001}},
        {"preferences": {"max_steps": -1}},
        {"preferences": {"instructions": "x" * 16_001}},
        {"preferences": {"model": "gone/model"}},
        {"preferences": {"colour": "red"}},
        {"variables": {"": "x"}},
        {"variables": {"1A": "x"}},
        {"variables": {"A-B": "x"}},
        {"variables": {"A" * 65: "x"}},
        {"variables": {"A=B\n": "x"}},
        {"variables": {"A": "x" * 64 * 1024}},
        {"variables": {f"V{number}": "x" * 1024 for number in range(64)}},
    ],
)
async def test_what_cannot_be_is_refused(autojump_clock: Clock, change: dict[str, Any]) -> None:
    """Nothing of it is written, and the session is as it was."""
    async with open_house(HELLO) as house:
        live = await house.create()
        with pytest.raises(InvalidParams, match="model" if "gone" in str(change) else "params"):
            await house.ask("session/set", session=live.state.id, **change)
        assert house.kinds(live) == ["session_created"]


async def test_variables_are_limited_together(autojump_clock: Clock) -> None:
    """What is there counts, what goes in the same change does not."""
    async with open_house(HELLO) as house:
        session = (await house.create()).state.id
        await house.ask("session/set", session=session, variables={"A": "x" * 40_000})
        with pytest.raises(InvalidParams, match="64 KiB"):
            await house.ask("session/set", session=session, variables={"B": "x" * 40_000})
        await house.ask("session/set", session=session, variables={"A": None, "B": "x" * 40_000})


def test_settings_outlive_the_daemon(tmp_path: Path) -> None:
    """By replay and by snapshot; they are in the row of the index, too."""
    path = str(tmp_path / "log.db")

    async def main() -> None:
        async with open_house(HELLO, path=path) as house:
            made = (await house.create()).state
            chosen = {"model": "one", "max_steps": 3, "instructions": "Be brief.", "pinned": True, "mode": ""}
            await house.ask("session/set", session=made.id, preferences=chosen, variables={"A": "1"})
        for saved in (0, 2):
            async with open_house(HELLO, path=path) as house:
                live = await house.sessions.open("local", made.id)
                assert live.state == made and live.saved_seq == saved
                (row,) = (await house.ask("session/list", pinned=True, model="fake/one"))["sessions"]
                assert row == plain(made.info) and (await house.ask("session/list", pinned=False))["sessions"] == []
                await loading.save(house.store, live)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_settings_reach_the_prompt_and_the_tools(autojump_clock: Clock) -> None:
    """Also those that change between two steps of a turn."""
    tools = FakeTools([spec("look")], gates={"look": trio.Event()})
    models = FakeModels(lambda prompt: Say(["ok"]) if count_results(prompt) > 1 else Ask([("look", "{}")]))
    async with open_house(models, tools) as house:
        live = await house.create(environment={"PATH": "/bin"})
        await house.ask("session/set", session=live.state.id, variables={"A": "1"})
        await house.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        await house.ask("session/set", session=live.state.id, variables={"A": "2"}, preferences={"instructions": "Be brief."})
        tools.gates["look"].set()
        await house.idle(live)
        seen = [called.context.environment for called in tools.calls]
        assert seen == [{"PATH": "/bin", "AGENTD_VAR_A": value} for value in "12"]
        assert ["Be brief." in prompt.system for prompt in models.prompts] == [False, True, True]


# --- forks -----------------------------------------------------------------------------------------------------------------------


async def conversation(house: House, session: str) -> list[Any]:
    """All messages, page by page."""
    messages: list[Any] = []
    while len(messages) < (page := await house.ask("message/list", session=session, offset=len(messages)))["total"]:
        messages += page["messages"]
    return messages


def as_told(messages: list[Message]) -> Any:
    return as_json([{"role": message.role, "parts": message.parts} for message in messages])


async def written(house: House, script: Script) -> str:
    """A session with this log; no turn of it runs."""
    session = "5" * 32
    work, house.sessions._work = house.sessions._work, None
    await house.store.append([NewEvent(session, "local", body) for body in script.bodies])
    house.sessions._work = work
    return session


@settings(max_examples=40)
@given(scripts())
def test_a_fork_has_the_messages_of_its_step(script: Script) -> None:
    """At every event of any log: exactly the messages that the source had there, or the name of the complete step before it."""

    async def main() -> None:
        async with open_house(HELLO) as house:
            session = await written(house, script)
            for seq in range(1, len(script.bodies) + 1):
                nearest = max(complete for complete in script.complete if complete <= seq)
                if nearest != seq:
                    with pytest.raises(Conflict, match="middle of a step") as refused:
                        await house.ask("session/fork", session=session, seq=seq)
                    assert refused.value.details == {"seq": nearest}
                    continue
                fork = await house.ask("session/fork", session=session, seq=seq)
                assert await conversation(house, fork["id"]) == as_told(state_of(*script.bodies[:seq]).messages)
            newest = (await house.ask("session/fork", session=session))["id"]
            again = (await house.ask("session/fork", session=newest))["id"]
            expected = as_told(state_of(*script.bodies[: script.complete[-1]]).messages)
            assert await conversation(house, newest) == await conversation(house, again) == expected
            replayed = await loading.load(house.store, newest)
            assert replayed and replayed.state == (await house.sessions.open("local", newest)).state
            with pytest.raises(InvalidParams, match="newest"):
                await house.ask("session/fork", session=session, seq=len(script.bodies) + 1)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_a_fork_while_a_turn_runs_has_what_is_complete(autojump_clock: Clock) -> None:
    """The step that streams is not in it; the turn goes on as if nothing was."""
    gate = trio.Event()
    models = FakeModels(lambda prompt: Say(["All ", "seen."], gate=gate) if count_results(prompt) else Ask([("look", "{}")]))
    async with open_house(models, FakeTools([spec("look")])) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        fork = await house.ask("session/fork", session=live.state.id)
        assert [message["role"] for message in await conversation(house, fork["id"])] == ["user", "assistant", "tool"]
        assert (fork["status"], fork["turns"], live.state.status) == ("idle", 0, "running")
        gate.set()
        await house.idle(live)
        assert len(live.state.messages) == 4


async def test_what_a_fork_takes_along(autojump_clock: Clock) -> None:
    """Place, settings and variables; not the turn, its question, what waits, the pin, or what was spent."""
    models = FakeModels(lambda prompt: Ask([("look", "{}")]) if len(prompt.messages) > 2 else Say(["Hello"]))
    async with open_house(models, FakeTools([spec("look", policy="ask")])) as house:
        live = await house.create(cwd="/src", title="work", environment={"PATH": "/bin"})
        chosen = {"model": "one", "max_steps": 3, "instructions": "Be brief.", "pinned": True, "mode": ""}
        await house.ask("session/set", session=live.state.id, preferences=chosen, variables={"A": "1"})
        for text in ("hi", "look", "next"):
            await house.prompt(live, text, interactive=True)
        await house.until(live, "awaiting_approval")
        fork = await house.sessions.open("local", (await house.ask("session/fork", session=live.state.id))["id"])
        state, source = fork.state, live.state
        for name in ("title", "cwd", "model", "environment", "max_steps", "instructions", "variables"):
            assert getattr(state, name) == getattr(source, name), name
        assert (state.parent, state.pinned, state.turn, state.queue, state.turns, state.inputs) == (
            source.id,
            False,
            None,
            [],
            0,
            0,
        )
        assert (fork.view.approvals, fork.view.draft, fork.busy) == ((), None, False)
        assert [message.role for message in state.messages] == ["user", "assistant"]
        assert house.kinds(fork) == ["session_created", "session_configured", "message_added", "message_added"]
        rows = (await house.ask("session/list", parent=source.id))["sessions"]
        assert rows == [plain(state.info)]
        assert (await house.ask("session/fork", session=source.id, title="other"))["title"] == "other"


async def test_source_and_fork_live_apart(autojump_clock: Clock) -> None:
    """What one of them does, the other does not see."""
    async with open_house(HELLO) as house:
        live = await house.create()
        await house.prompt(live, "one")
        await house.idle(live)
        fork = await house.sessions.open("local", (await house.ask("session/fork", session=live.state.id))["id"])
        await house.prompt(fork, "two")
        await house.idle(fork)
        await house.ask("session/set", session=fork.state.id, variables={"A": "1"}, preferences={"model": "own"})
        assert (len(live.state.messages), len(fork.state.messages)) == (2, 4)
        assert live.state.variables == {} and live.state.model == "fake/model"
        await house.call("session/delete", session=live.state.id)
        await house.prompt(fork, "three")
        await house.idle(fork)
        assert len(fork.state.messages) == 6


def blobs(house: House) -> int:
    return int(house.store._writer.db.execute("SELECT count(*) FROM blob").get)


async def with_blob(house: House) -> tuple[Live, str]:
    live = await house.create()
    await house.prompt(live, "go")
    await house.idle(live)
    return live, next(event.body.parts[0].blob for event in house.events if event.kind == "tool_finished")


def talkative() -> tuple[FakeModels, FakeTools]:
    models = FakeModels(lambda prompt: Say(["ok"]) if count_results(prompt) else Ask([("look", "{}")]))
    return models, FakeTools([spec("look")], results={"look": [said("x" * 100_000)]})


async def test_blobs_belong_to_both(autojump_clock: Clock) -> None:
    """Stored once; there as long as one of them is, and gone with the last; a fork from before it has none of it."""
    models, tools = talkative()
    async with open_house(models, tools) as house:
        live, blob = await with_blob(house)
        fork, early = [(await house.ask("session/fork", session=live.state.id, **at))["id"] for at in ({}, {"seq": 1})]
        assert blobs(house) == 1
        await house.call("session/delete", session=live.state.id)
        assert (await house.ask("blob/get", session=fork, blob=blob))["bytes"] == 100_000
        with pytest.raises(NotFound):
            await house.ask("blob/get", session=early, blob=blob)
        second = (await house.ask("session/fork", session=fork))["id"]
        await house.call("session/delete", session=fork)
        assert (await house.ask("blob/get", session=second, blob=blob))["bytes"] == 100_000
        await house.call("session/delete", session=second)
        assert blobs(house) == 0


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("steps", range(10))
async def test_a_fork_of_what_is_deleted_at_that_moment(autojump_clock: Clock, steps: int, loaded: bool) -> None:
    """It has everything, blobs too, or it is not made; and nothing else is hurt."""
    models, tools = talkative()
    async with open_house(models, tools) as house:
        live, blob = await with_blob(house)
        if not loaded:
            house.sessions.unload(live)
        made: list[str] = []

        async def fork() -> None:
            with suppress(NotFound):
                made.append((await house.ask("session/fork", session=live.state.id, seq=live.state.seq))["id"])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fork)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            await house.call("session/delete", session=live.state.id)
        for session in made:
            assert len(await conversation(house, session)) == 4
            assert (await house.ask("blob/get", session=session, blob=blob))["bytes"] == 100_000
        assert blobs(house) == len(made)
        await house.create()


async def test_a_fork_is_made_once_per_key(autojump_clock: Clock) -> None:
    """Whoever did not hear the answer asks again, and gets it, even when the source is gone by then."""
    async with open_house(HELLO) as house:
        live = await house.create()
        answers = [await house.ask("session/fork", session=live.state.id, key="k") for _ in range(2)]
        with pytest.raises(Conflict):
            await house.ask("session/fork", session=live.state.id, title="other", key="k")
        await house.call("session/delete", session=live.state.id)
        answers.append(await house.ask("session/fork", session=live.state.id, key="k"))
        assert answers == [answers[0]] * 3
        assert [row["id"] for row in (await house.ask("session/list"))["sessions"]] == [answers[0]["id"]]


async def test_a_thousand_messages_and_one_too_long_for_an_event(autojump_clock: Clock) -> None:
    """All of them, in one commit; the one that was joined of two comes back whole."""
    halves = [replied("a" * 600_000, stop="interrupted"), replied("b" * 600_000, step=1)]
    script = Script(None, [created(), accepted(1), started(), *halves, finished()])
    async with open_house(HELLO) as house:
        session = await written(house, script)
        roles = [("user", "assistant")[number % 2] for number in range(1000)]
        text = [{"role": role, "parts": [{"kind": "text", "text": role}]} for role in roles]
        await house.ask("message/add", session=session, messages=text)
        fork = await house.sessions.open("local", (await house.ask("session/fork", session=session))["id"])
        source = await house.sessions.open("local", session)
        assert fork.state.messages == source.state.messages and len(fork.state.messages) == 1002
        assert fork.state.messages[1].parts == (Text(text="a" * 600_000 + "b" * 600_000),)
        replayed = await loading.load(house.store, fork.state.id)
        assert replayed and replayed.state == fork.state
        assert len({event.at for event in house.events if event.stream == fork.state.id}) == 1


async def test_a_stopping_daemon_forks_nothing(autojump_clock: Clock) -> None:
    """No session is made that nobody will hear of."""
    async with open_house(waiting_model()) as house:
        live = await house.create()
        house.sessions.stop()
        with pytest.raises(AgentError, match="stopping"):
            await house.ask("session/fork", session=live.state.id)


async def test_nothing_is_cleaned_up_without_a_condition(autojump_clock: Clock) -> None:
    """`session/clean {}` is a mistake, not a wish."""
    async with open_house(HELLO) as house:
        await house.create()
        with pytest.raises(InvalidParams, match="idle"):
            await house.ask("session/clean")
        assert len((await house.ask("session/list"))["sessions"]) == 1
