"""A daemon that has worked for long: memory, descriptors and threads over 2,000 turns, in one session and spread over many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from statistics import linear_regression

from attrs import frozen

from benchmarks.common import Client, Lab
from benchmarks.figures import Figure
from benchmarks.passages import passages

TURNS = 2000
_EVERY = 20
_WARM = 0.25
"""The share of the turns after which everything is loaded and every pool is filled."""
_SLOPE = 1.0
"""MB per 100 turns."""


@frozen(kw_only=True)
class Sample:
    """After so many turns. `rss` in MB."""

    turn: int
    rss: float
    descriptors: int
    threads: int


def soak(lab: Lab) -> list[Figure]:
    """2,000 turns in one session, then 2,000 in 200 sessions."""
    return [*figures("in one session", drive(lab, TURNS, 1)), *figures("in 200 sessions", drive(lab, TURNS, 200))]


def drive(lab: Lab, turns: int, sessions: int) -> list[Sample]:
    """Turns of 300 characters each way, one after the other, in so many sessions by turns; each is watched while it is new."""
    asked = passages(turns)
    with lab.listener(turns) as port, lab.daemon(port) as daemon:
        samples = []
        each = turns // sessions
        for begin in range(0, sessions * each, each):
            with closing(Client(daemon)) as client:
                name = client.session()
                for turn in range(begin, begin + each):
                    client.turn(name, asked[turn])
                    if (turn + 1) % _EVERY == 0:
                        descriptors, threads = daemon.process.held
                        samples.append(Sample(turn=turn + 1, rss=daemon.process.rss, descriptors=descriptors, threads=threads))
    return samples[int(len(samples) * _WARM) :]


def slope(samples: Sequence[Sample]) -> float:
    """MB per 100 turns: of the line through the samples."""
    return 100 * linear_regression([sample.turn for sample in samples], [sample.rss for sample in samples]).slope


def more(samples: Sequence[Sample], number: Callable[[Sample], int]) -> int:
    """By how many it was ever above the first. Below is allowed: idle threads end."""
    return max(map(number, samples)) - number(samples[0])


def figures(where: str, samples: Sequence[Sample]) -> list[Figure]:
    last = samples[-1]
    held = partial(Figure, unit="", floor_name="at the end", bar=0, rule="none")
    return [
        Figure(
            name=f"memory per 100 turns {where}",
            value=slope(samples),
            unit="MB",
            floor=last.rss,
            floor_name="MB at the end",
            bar=_SLOPE,
            rule=f"{_SLOPE:g} MB",
        ),
        held(name="  more descriptors", value=more(samples, lambda sample: sample.descriptors), floor=last.descriptors),
        held(name="  more threads", value=more(samples, lambda sample: sample.threads), floor=last.threads),
    ]
