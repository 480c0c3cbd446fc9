"""Commands that say too much or what terminals obey: through the daemon and the log onto a terminal, and nothing happens to any."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.real import Home, Models, call, rule, say

HOSTILE = r"""#!/bin/sh
case $1 in
escapes)
  printf '\033]0;owned\007\033[2J\033[31mred\033[0m\033P+q544e\033\\ \2331mcsi '
  printf '\033]52;c;ZWNobyBoaQ==\007done\r\nplain\b\b\n' ;;
binary) head -c 300000 /dev/urandom ;;
invalid) printf 'a\377\376\300\200b\355\240\200c\n' ;;
much) yes 'a line of a very long story that nobody will read' | head -c 200000000 ;;
line) head -c 50000000 /dev/zero | tr '\0' 'x' ;;
progress) for i in 1 2 3 4 5 6 7 8 9; do printf '\r%s0%%' $i; done; echo ;;
esac
"""
KINDS = ("escapes", "binary", "invalid", "much", "line", "progress")
GROWTH = 100 * 1024 * 1024
"""Bytes of memory that the daemon may take more for 200 MB of output."""
_UNSAFE = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with Home() as home:
        home.write("config/config.toml", '[permissions]\nallow = ["shell(./say *)"]\n')
        home.write("work/say", HOSTILE).chmod(0o755)
        yield home


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    calls = (rule(f"^{kind}$", call("shell", command=f"./say {kind}"), after_tools=0) for kind in KINDS)
    with Models([*calls, rule("", say("I see."))]) as models:
        yield models


def shown(home: Home, session: str) -> bytes:
    command = [sys.executable, "-m", "agentctl", "session", "show", session]
    return subprocess.run(command, env=home.environ, capture_output=True, timeout=60, check=True).stdout


async def turn(peer: Any, directory: Path, kind: str) -> tuple[str, dict[str, Any]]:
    """The session, and how its call ended."""
    session = (await peer.call("session/create", cwd=str(directory)))["id"]
    await peer.call("session/watch", session=session)
    await peer.prompt(session, kind)
    end = (await peer.until("tool_finished"))["data"]
    await peer.until("turn_finished", outcome="done")
    return session, end


async def test_hostile_output_is_tamed(home: Home, models: Models) -> None:
    """What the model is sent and what a terminal is shown has no control characters; the memory stays bounded; no call fails."""
    daemon = home.start(models)
    async with daemon.connect() as peer:
        await turn(peer, home.path / "work", "progress")
        before = daemon.rss()
        for kind in KINDS:
            session, end = await turn(peer, home.path / "work", kind)
            assert end["outcome"] == "ok", end
            text = "".join(part.get("text", "") + part.get("head", "") + part.get("tail", "") for part in end["parts"])
            assert not _UNSAFE.search(text.encode("utf-8", "replace").replace(b"\r\n", b"\n")), (kind, text[:200])
            assert len(text) < 200_000
            assert not _UNSAFE.search(shown(home, session)), kind
            if kind == "escapes":
                assert "red" in text and "done" in text and "owned" not in shown(home, session).decode()
            if kind == "progress":
                assert "90%" in text and "10%" not in text
        assert daemon.rss() - before < GROWTH
    assert await daemon.stop() == 0
