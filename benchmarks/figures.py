"""A figure, its floor and its bar; the table of them for people and the file of them for machines."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import asdict, evolve, frozen

RESULTS = Path(__file__).parent / "results"


@frozen(kw_only=True)
class Figure:
    """`value`, `floor` and `bar` are in `unit`; `rule` says where the bar comes from. Without a bar it is for information."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    floor_name: str = ""
    bar: float | None = None
    rule: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None

    @property
    def over(self) -> bool:
        return self.bar is not None and self.value > self.bar

    def at_most(self, times: float) -> Figure:
        """The same with a bar: so many times its floor."""
        assert self.floor is not None
        return evolve(self, bar=times * self.floor, rule=f"{times:g}x the floor")


def quiet(values: Iterable[float]) -> float:
    """The lower quartile of latencies. Other load only ever adds, in slices of milliseconds, and the median would measure that."""
    return percentile(list(values), 0.25)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def table(figures: Sequence[Figure]) -> str:
    rows = [("", "figure", "floor", "ratio", "bar", ""), *map(_row, figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        f"{_number(figure.value)} {figure.unit}",
        f"{_number(figure.floor)} {figure.floor_name}" if figure.floor is not None else "-",
        f"{figure.ratio:.2f}x" if figure.ratio is not None else "-",
        figure.rule or "-",
        "" if figure.bar is None else "OVER" if figure.over else "ok",
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        row[0].ljust(widths[0]),
        row[1].rjust(widths[1]),
        *(cell.ljust(width) for cell, width in zip(row[2:], widths[2:], strict=True)),
    ]
    return "  ".join(cells).rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def save(figures: Sequence[Figure]) -> Path:
    """Write a run to `results/`; returns the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    machine = {"python": platform.python_version(), "system": platform.platform(), "cpus": os.cpu_count(), "load": os.getloadavg()}
    rows = [{**asdict(figure), "ratio": figure.ratio, "over": figure.over} for figure in figures]
    path.write_text(json.dumps({"machine": machine, "figures": rows}, indent=1))
    return path
