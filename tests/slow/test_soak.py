"""A daemon that works for long grows with what it holds, and with nothing else.

2,000 turns of the real daemon in one session, and again spread over many. `AGENTD_SOAK_TURNS` makes it shorter (below some hundred
the daemon is still warming up, and the slope says nothing).
"""

from __future__ import annotations

import os

import pytest

from benchmarks.common import laboratory
from benchmarks.soak import Sample, drive, more, slope

TURNS = int(os.environ.get("AGENTD_SOAK_TURNS", "2000"))


@pytest.mark.slow
@pytest.mark.parametrize("sessions", [1, TURNS // 10])
def test_nothing_leaks(sessions: int) -> None:
    """After the warm-up less than 1 MB per 100 turns, and not one descriptor or thread more."""
    with laboratory() as lab:
        samples = drive(lab, TURNS, sessions)
    assert slope(samples) < 1.0
    assert more(samples, lambda sample: sample.descriptors) <= 0
    assert more(samples, lambda sample: sample.threads) <= 0


def test_slope_and_more() -> None:
    """The line is through the samples, and only what comes on top of the first counts."""
    samples = [Sample(turn=turn, rss=50 + turn / 200, descriptors=9, threads=4 - turn // 200) for turn in range(100, 500, 20)]
    assert slope(samples) == pytest.approx(0.5)
    assert more(samples, lambda sample: sample.descriptors) == 0 == more(samples, lambda sample: sample.threads)
    later = Sample(turn=500, rss=52.5, descriptors=11, threads=5)
    assert more([*samples, later], lambda sample: sample.descriptors) == 2
