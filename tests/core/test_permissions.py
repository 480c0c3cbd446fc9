"""Whose rules hold for a session, and where its calls run."""

from __future__ import annotations

import os.path
from pathlib import Path

import pytest
import trio.testing
from attrs import evolve

from agentd.core.permissions import Permissions
from agentd.core.permit import Policy, of_lists
from agentd.core.state import SessionState
from agentd.core.users import Users, stream_of
from agentd.ports import NewEvent
from agentwire import events as ev
from tests.fakes.house import SETTINGS, open_house
from tests.fakes.models import waiting_model


async def test_five_places_and_one_policy(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """The configuration's, the project's, the user's and the session's rules, its mode, its directory without links."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / ".agentd").mkdir()
    (tmp_path / "real" / ".agentd" / "config.toml").write_text('[permissions]\nask = ["project"]\n')
    base = Policy(rules=of_lists(["configured"], scope="configuration"), mode="plan", write=("/cache",))
    async with open_house(waiting_model()) as house:
        await house.store.append([NewEvent(stream_of("ann"), "ann", ev.RuleAdded(rule="user", verdict="deny"))])
        permissions = Permissions(lambda: evolve(SETTINGS, policy=base), os.path.realpath, Users(house.store))
        state = SessionState("s", "ann", cwd=str(tmp_path / "link"), mode="accept-edits", variables={"X": "1"})
        with pytest.raises(KeyError):
            permissions.policy(state)
        await permissions.prepare("ann", state.cwd)
        policy = permissions.policy(state)
        assert [rule.rule for rule in policy.rules] == ["configured", "project", "user"]
        assert (policy.mode, policy.roots) == ("accept-edits", (str((tmp_path / "real").resolve()),))
        assert permissions.policy_at("ann", state.cwd).mode == "plan"
        place = permissions.place(state, policy)
        assert (place.cwd, place.roots, place.environment) == (state.cwd, (*policy.roots, "/cache"), {"AGENTD_VAR_X": "1"})
