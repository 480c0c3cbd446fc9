"""`agentctl usage`: what was used and what it has cost, by day, session, model, user or turn."""

from __future__ import annotations

import time

from agentctl import arguments
from agentctl.client import Client
from agentctl.costs import budgets, cost, footnotes, tokens
from agentctl.output import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping, Sequence
    from typing import Any

    from agentwire.paths import Paths

EXAMPLES = """\
agentctl usage                          the days
agentctl usage --by model --since 30d
agentctl usage --by turn -s 3f2a
agentctl usage --json | jq .total.cost"""
_TOKENS = ("input", "cached", "output", "reasoning")
_SHORT = 8
_NUMBERS = range(1, 7)
"""The columns that are numbers, when the first is the key."""


def parser() -> ArgumentParser:
    """The arguments of `usage`."""
    made = arguments.make("agentctl usage", "tokens and money: what was used, and what is left of the budgets", EXAMPLES)
    made.add_argument(
        "--by",
        choices=("day", "session", "model", "user", "turn"),
        default="day",
        help="one row for each (default: day); turns are those of one session",
    )
    made.add_argument("--since", type=arguments.span, metavar="SPAN", help="only the last 7d, 12h, ...; days (UTC) count whole")
    made.add_argument("-s", "--session", metavar="ID", default="", help="only this session; the beginning of its id will do")
    made.add_argument(
        "--limit", type=arguments.positive, metavar="N", default=50, help="so many rows (default: 50); the total is of all"
    )
    arguments.add_json(made)
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Shows the report."""
    out = Output(args)
    asked: dict[str, Any] = {"by": args.by, "session": args.session, "limit": min(args.limit, 1000)}
    if args.since is not None:
        asked["since"] = time.time() - args.since
    with Client.connect(paths) as client:
        report = client.call("usage/get", asked)
    if args.json:
        out.document(report)
        return 0
    if not report["total"]["requests"]:
        out.note("nothing was used" + (" in that time" if args.since else " yet"))
    elif out.tty:
        _table(args.by, report, out)
    else:
        out.table(("",) * 8, [_raw(row) for row in report["rows"]])
    for note in footnotes(report):
        out.note(note)
    for line in budgets(report["budgets"], session=bool(args.session)):
        out.note(line)
    return 0


def _table(by: str, report: Mapping[str, Any], out: Output) -> None:
    rows = [_row(by, row, _title(by, row)) for row in report["rows"]]
    if len(rows) > 1:
        rows.append(_row("", {**report["total"], "key": "total"}, ""))
    header = (by.upper(), "REQUESTS", *(name.upper() for name in _TOKENS), "COST", "")
    out.table(header, rows, right=_NUMBERS)


def _row(by: str, row: Mapping[str, Any], title: str) -> Sequence[str]:
    key = row["key"][:_SHORT] if by == "session" else row["key"]
    return (key or "-", str(row["requests"]), *(tokens(row["usage"][name]) for name in _TOKENS), cost(row), title)


def _title(by: str, row: Mapping[str, Any]) -> str:
    return str(row["title"]) if by in ("session", "turn") else ""


def _raw(row: Mapping[str, Any]) -> Sequence[str]:
    """For scripts: whole numbers and ids; the cost of what has a price, `?` where nothing has."""
    money = "?" if row["cost"] is None else row["cost"]
    numbers = (row["requests"], *(row["usage"][name] for name in _TOKENS), money)
    return (row["key"], *map(str, numbers), row["title"])
