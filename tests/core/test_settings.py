"""The configuration may be replaced while the daemon runs: what is decided from then on goes by the new one."""

from __future__ import annotations

import trio.testing
from attrs import evolve

from agentd.core.permit import Policy, of_lists
from tests.fakes.house import SETTINGS, open_house
from tests.fakes.models import Ask, FakeModels, Say, count_results
from tests.fakes.tools import FakeTools, spec


async def test_the_next_decision_goes_by_the_new_settings(autojump_clock: trio.testing.MockClock) -> None:
    """Model, steps and permissions, without a restart; what a session was made with stays."""
    models = FakeModels(lambda prompt: Say(["ok"]) if count_results(prompt) else Ask([("look", "{}")]))
    async with open_house(models, FakeTools([spec("look")])) as house:
        before = await house.create()
        house.settings = evolve(
            SETTINGS, model="fake/new", max_steps=1, policy=Policy(rules=of_lists(deny=["look"], scope="configuration"))
        )
        after = await house.create()
        await house.prompt(after, "go")
        await house.idle(after)
        assert (before.state.model, after.state.model) == ("fake/model", "fake/new")
        assert [event.body.outcome for event in house.events if event.kind == "tool_finished"] == ["denied"]
        assert house.events[-1].body.error.code == "turn_limit"
