"""The methods about the daemon reach the daemon; what it is asked to become is its own business (tests/test_daemon.py)."""

from __future__ import annotations

import trio.testing
from attrs import evolve

from agentwire.methods import Reloaded
from tests.core.test_api import HELLO
from tests.fakes.house import SETTINGS, open_house


async def test_restart_takes_the_environment_along(autojump_clock: trio.testing.MockClock) -> None:
    """`export KEY=...; agentctl daemon restart`: the daemon gets what the client has."""
    async with open_house(HELLO) as house:
        await house.call("daemon/restart", environment={"KEY": "value"})
        assert house.host.restarted == {"KEY": "value"} and not house.host.stopped


async def test_reload_says_what_changed(autojump_clock: trio.testing.MockClock) -> None:
    """The daemon's answer is the client's."""
    async with open_house(HELLO) as house:
        assert await house.call("daemon/reload") == Reloaded(changed=("model",), needs_restart=())


async def test_stop_reaches_the_host(autojump_clock: trio.testing.MockClock) -> None:
    """daemon/stop answers and asks the daemon to stop."""
    async with open_house(HELLO) as house:
        await house.call("daemon/stop")
        assert house.host.stopped


async def test_what_the_configuration_says_is_shown_as_it_is_now(autojump_clock: trio.testing.MockClock) -> None:
    """Also after it was replaced while the daemon runs."""
    async with open_house(HELLO) as house:
        assert await house.ask("config/get") == {"values": [], "warnings": []}
        house.settings = evolve(SETTINGS, warnings=("mind the gap",))
        assert (await house.ask("config/get"))["warnings"] == ["mind the gap"]
        assert await house.ask("model/list") == {"models": []}
