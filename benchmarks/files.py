"""What the file tools cost by themselves: a call without model, ledger and permissions."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from agentd.spawn import TrioSpawner
from agentd.toolsources.files import ripgrep
from agentd.toolsources.files.source import FileTools
from benchmarks.common import ROOT, Lab
from benchmarks.figures import Figure, quiet
from tests.fakes.file_calls import FileCalls

_ROUNDS, _SEARCHES = 200, 7
_CALL = 2.0
"""Milliseconds for a trivial tool call, all in all."""


def files(_lab: Lab) -> list[Figure]:
    """A small file read, edited and written; agentd's own repository searched."""
    with tempfile.TemporaryDirectory() as folder:
        return trio.run(_measured, Path(folder).resolve())


async def _measured(root: Path) -> list[Figure]:
    calls = FileCalls(FileTools(TrioSpawner(), umask=0o022), root)
    (root / "a.py").write_text("".join(f"value_{number} = {number}\n" for number in range(200)))
    await calls.text("read", path="a.py")

    def edit(number: int) -> Awaitable[str]:
        return calls.text("edit", path="a.py", old=f"_7 = {number or 7}\n", new=f"_7 = {number + 1}\n")

    floor = await _timed(_ROUNDS, lambda _number: trio.to_thread.run_sync((root / "a.py").read_bytes))
    small: dict[str, Callable[[int], Awaitable[str]]] = {
        "a file of 200 lines read": lambda _number: calls.text("read", path="a.py"),
        "a line of it edited": edit,
        "a small file written": lambda number: calls.text("write", path="b.py", content=f"{number}\n"),
    }
    figures = [_small(name, await _timed(_ROUNDS, call), floor) for name, call in small.items()]
    found = ripgrep.find()
    return [*figures, await _search("Python", None), *([await _search("ripgrep", found)] if found else [])]


def _small(name: str, value: float, floor: float) -> Figure:
    return Figure(
        name=name, value=value, unit="ms", floor=floor, floor_name="ms read in a thread", bar=_CALL, rule="2 ms for a trivial call"
    )


async def _search(name: str, program: str | None) -> Figure:
    calls = FileCalls(FileTools(TrioSpawner(), umask=0o022, ripgrep=program), ROOT)
    value = await _timed(_SEARCHES, lambda _round: calls.text("grep", pattern=r"class \w+Tools\b"))
    return Figure(name=f"this repository searched with {name}", value=value, unit="ms")


async def _timed(rounds: int, call: Callable[[int], Awaitable[object]]) -> float:
    """Milliseconds."""
    times = []
    for number in range(rounds):
        began = time.perf_counter()
        await call(number)
        times.append(time.perf_counter() - began)
    return quiet(times) * 1000
