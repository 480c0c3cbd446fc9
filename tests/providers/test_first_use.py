"""The first request of a provider imports its vendor's SDK, which takes a second: nobody else may notice."""

from __future__ import annotations

import sys
from functools import partial

import pytest
import trio

from tests.conformance.providers import CASES
from tests.fakes.model_script import text
from tests.fakes.model_server import serve

_MOST = 150  # milliseconds
_TRIES = 3  # the machine is not ours alone: what is held up by others is not held up each time


@pytest.mark.slow
@pytest.mark.parametrize("name", [case.name for case in CASES])
async def test_the_loop_goes_on(name: str) -> None:
    """In a fresh process, the whole first request: import, client, connection."""
    async with serve([text("hi")]) as server:
        command = [sys.executable, "-m", "tests.providers.first_use", name, server.base]
        run = partial(trio.run_process, command, capture_stdout=True)
        held_up: list[int] = []
        while len(held_up) < _TRIES and min(held_up, default=_MOST) >= _MOST:
            held_up.append(int((await run()).stdout))
    assert min(held_up) < _MOST
