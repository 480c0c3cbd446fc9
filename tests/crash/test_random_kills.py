"""kill -9 and SIGTERM at random points of streaming turns with tools, round after round on the same files.

AGENTD_CRASH_ROUNDS says how often the daemon is struck, ten times in each life. A test's name is its seed.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.crash.life import RULES, Life, complete, life
from tests.fakes.real import ROUNDS, Models

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PER_LIFE = 10
SESSIONS = 3


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with Models(RULES) as models:
        yield models


@pytest.mark.parametrize("seed", range(max(1, ROUNDS // PER_LIFE)))
async def test_nothing_acknowledged_is_lost_and_no_effect_is_repeated(models: Models, seed: int) -> None:
    """After every restart the log has what clients saw and were promised; in the end every turn is over and whole."""
    async with life(seed, models, SESSIONS) as one, trio.open_nursery() as prompts:
        kills = 0
        for number in range(min(PER_LIFE, ROUNDS)):
            for follower in one.followers:
                if one.random.random() < 0.7:
                    prompts.start_soon(one.ask, follower, f"job {number} of {one.followers.index(follower)}")
            await one.moment(one.random.randint(1, 300))
            # Three unclean ends in a row would suspend resuming; that has a test of its own.
            if kills < 2 and one.random.random() < 0.7:
                kills += 1
                await one.kill()
            else:
                kills = 0
                await one.stop()
            one.restart()
            await one.check()
        await _in_the_end(one)


async def _in_the_end(one: Life) -> None:
    """Everything comes to its end by itself, and every session takes one more input and answers it."""
    for follower in one.followers:
        await one.ask(follower, f"job at the end of {one.followers.index(follower)}")
    while not one.quiet:
        await one.moment(10_000)
    await one.check()
    for follower in one.followers:
        complete(follower)
