"""`python -m benchmarks [NAME...] [--report]`: runs the benches, prints one table, exits with 1 if a bar is missed."""

from __future__ import annotations

import argparse
import compileall
import os
import sys
import time
from collections.abc import Callable

from benchmarks import asking, failover, files, index, many, size, soak, start, storage, stream, tools, turns, walls, watchers
from benchmarks.common import ROOT, Lab, laboratory
from benchmarks.figures import Figure, save, table

BENCHES: dict[str, Callable[[Lab], list[Figure]]] = {
    "status": start.status,
    "tokens": stream.tokens_at_once,
    "first-token": stream.first_token,
    "requests": asking.requests,
    "first-use": asking.first_use,
    "failover": failover.failover,
    "fifty": many.fifty,
    "two-hundred": many.two_hundred,
    "watchers": watchers.watchers,
    "weight": size.weight,
    "turns": turns.fiftieth,
    "thousandth": turns.thousandth,
    "tool": turns.tool,
    "calls": tools.calls,
    "walls": walls.walls,
    "files": files.files,
    "appends": storage.appends,
    "long-session": storage.long_session,
    "sessions": index.sessions,
    "soak": soak.soak,
    "round-trip": start.round_trip,
    "chat": start.chat,
}


def main() -> int:
    options = _options()
    _compile()
    figures: list[Figure] = []
    with laboratory() as lab:
        for name in options.names or BENCHES:
            began = time.perf_counter()
            figures += BENCHES[name](lab)
            print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    print(table(figures))
    print(f"\nkept in {save(figures).relative_to(ROOT)}", file=sys.stderr)
    return int(any(figure.over for figure in figures) and not options.report)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What agentd costs, each figure beside a floor of the same run."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(BENCHES)}")
    parser.add_argument("--report", action="store_true", help="exit with 0 even if a bar is missed")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHES):
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    return options


def _compile() -> None:
    """A file that must be compiled first costs its reader ten times as much."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for package in ("agentd", "agentctl", "shared", "benchmarks", "tests/fakes"):
        compileall.compile_dir(ROOT / package, quiet=2)


if __name__ == "__main__":
    sys.exit(main())
