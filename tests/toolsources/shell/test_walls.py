"""The shell tool inside of real walls: what they make fail is explained, and nothing outlives a call, whatever it does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import trio
from attrs import evolve

from agentd.ports import ToolContext
from agentd.toolsources.shell.hints import leaves_behind
from agentd.toolsources.shell.tools import ShellTools
from agentwire.errors import SandboxUnavailable
from agentwire.types import Text
from tests.fakes.processes import children
from tests.fakes.walls import Place, has, place, with_network


@pytest.fixture(scope="module")
def walled() -> Iterator[Place]:
    with place() as made:
        yield made


def context(walled: Place) -> ToolContext:
    root = str(walled.workspace)
    return ToolContext(session="s", cwd=root, environment={}, roots=(root,), call="c1", sandbox=walled.walls)


async def ran(walled: Place, command: str, told: ToolContext | None = None, **arguments: Any) -> tuple[str, str]:
    tools = ShellTools(walled.spawner, lambda: 30.0)
    outcome = await tools.call("shell", {"command": command, **arguments}, told or context(walled))
    (part,) = outcome.parts
    assert isinstance(part, Text)
    return outcome.outcome, part.text


async def test_a_command_in_its_workspace(walled: Place) -> None:
    """Does what it does without walls."""
    assert await ran(walled, "echo hello > new.txt; cat new.txt; exit 2") == ("error", "hello\n[exit code 2]")


async def test_a_write_outside_is_explained(walled: Place) -> None:
    """By where a command may write."""
    outcome, text = await ran(walled, "touch /etc/x")
    assert outcome == "error" and f"write only in {walled.workspace} and /tmp" in text.splitlines()[-1]


@pytest.mark.skipif(not has("git"), reason="there is no git here")
async def test_the_network_is_explained(walled: Place) -> None:
    """By how to get it; not where it has it."""
    command = "git ls-remote https://nowhere.invalid/x"
    outcome, text = await ran(walled, command)
    assert outcome == "error" and text.endswith("call again with network: true, which asks the user]")
    _, text = await ran(walled, command, evolve(context(walled), sandbox=with_network(walled.walls)))
    assert "network: true" not in text


async def test_a_localhost_of_its_own_is_explained(walled: Place) -> None:
    """A server outside, or in another call, is not there."""
    command = f"exec 3<>/dev/tcp/127.0.0.1/{walled.port}"
    outcome, text = await ran(walled, command)
    assert outcome == "error" and text.endswith("a server and its clients all need network: true]")
    assert await ran(walled, command, evolve(context(walled), sandbox=with_network(walled.walls))) == ("ok", "[exit code 0]")


async def test_nothing_is_left_behind(walled: Place) -> None:
    """Not even what left the group; and the model is told."""
    before = children()
    outcome, text = await ran(walled, "setsid sleep 1000 & trap '' TERM; echo done")
    assert outcome == "ok" and text.startswith("done\n[exit code 0]\n[what it had left running was ended")
    assert children() == before


async def test_a_timeout_ends_all_of_it(walled: Place) -> None:
    """Whatever it ignores and however deep it hides."""
    outcome, text = await ran(walled, "trap '' TERM INT; echo begun; (setsid sleep 1000 &) ; sleep 1000", timeout=0.5)
    assert outcome == "error" and text.startswith("begun\n[killed after 0.")


async def test_without_walls_nothing_runs(walled: Place) -> None:
    """And the result says that there is no sandbox."""
    tools = ShellTools(type(walled.spawner)(), lambda: 30.0)
    with pytest.raises(SandboxUnavailable, match="nothing was started"):
        await tools.call("shell", {"command": "touch here"}, context(walled))
    assert not await trio.Path(walled.workspace / "here").exists()


@pytest.mark.slow
async def test_a_long_command_lives_to_its_end(walled: Place) -> None:
    """Longer than the ten seconds after which an idle thread, and with it the child of one, would die."""
    assert await ran(walled, "sleep 12; echo done") == ("ok", "done\n[exit code 0, 12 s]")


@pytest.mark.parametrize(
    ("command", "leaves"),
    [
        ("server & curl x", True),
        ("a & b & wait", False),
        ("a && b", False),
        ("a 2>&1 | b", False),
        ("echo 'a & b'", False),
        ("$(a) &", False),
    ],
)
def test_what_leaves_something_behind(command: str, leaves: bool) -> None:
    """As far as the text tells; what cannot be read is left alone."""
    assert leaves_behind(command) == leaves
