"""A home with the script's tools, and the script's model; in the end everything that happened there is judged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.crash.script import RULES, TOOLS
from tests.fakes.real import Home, Models
from tests.fakes.verdict import judge


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


@pytest.fixture
def home(models: Models) -> Iterator[Home]:
    """After the test the last daemon is killed, and the log that the next one finds is held against what all clients were promised
    and saw."""
    with Home() as home:
        home.write("config/tools/tools.py", TOOLS)
        home.make_fifo("gate")
        home.witnesses = []
        yield home
        trio.run(_judged, home, models)


async def _judged(home: Home, models: Models) -> None:
    home.kill()
    witnesses, home.witnesses = home.witnesses or [], None
    async with home.start(models).connect() as peer:
        await judge(peer, witnesses, home.path / "effects", "pay", "hold")
