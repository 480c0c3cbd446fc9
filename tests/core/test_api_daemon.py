"""The methods about the daemon reach the daemon; what it is asked to become is its own business (tests/test_daemon.py)."""

from __future__ import annotations

import trio.testing

from agentwire.methods import Reloaded
from tests.core.test_api import HELLO
from tests.fakes.house import open_house


async def test_restart_takes_the_environment_along(autojump_clock: trio.testing.MockClock) -> None:
    """`export KEY=...; agentctl daemon restart`: the daemon gets what the client has."""
    async with open_house(HELLO) as house:
        await house.call("daemon/restart", environment={"KEY": "value"})
        assert house.host.restarted == {"KEY": "value"} and not house.host.stopped


async def test_reload_says_what_changed(autojump_clock: trio.testing.MockClock) -> None:
    """The daemon's answer is the client's."""
    async with open_house(HELLO) as house:
        assert await house.call("daemon/reload") == Reloaded(changed=("model",), needs_restart=())
