"""`agentctl test-model`: whether models can be used, and what to do about what fails."""

from __future__ import annotations

import os

from agentctl import arguments
from agentctl.client import Client, other_variables
from agentctl.output import DIM, RED, Output
from agentwire.errors import AuthFailed, InvalidParams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from agentwire.paths import Paths

_LONGEST = 600.0
"""Seconds for one model: the daemon gives a minute to each request, of which there are three, and one for each further key."""
EXAMPLES = """\
agentctl test-model
agentctl test-model --provider anthropic
agentctl test-model --model openai/gpt-6.1-terra --json
agentctl test-model --all"""


def parser() -> ArgumentParser:
    """The arguments of `test-model`."""
    made = arguments.make(
        "agentctl test-model",
        "try a model with a few short requests, which cost what they cost: connection, speed, tool call, schema, usage",
        EXAMPLES,
    )
    which = made.add_mutually_exclusive_group()
    which.add_argument(
        "--model", metavar="NAME", default="", help="provider/model or an alias, of which all are tried (default: yours)"
    )
    which.add_argument("--provider", metavar="NAME", default="", help="the default model of this provider")
    which.add_argument("--all", action="store_true", help="the default model of every provider that is configured")
    arguments.add_json(made)
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Tries the models one after the other. Exits 41 if a key was refused, 1 if anything else failed."""
    out = Output(args)
    reports = []
    with Client.connect(paths, environ=os.environ, prompting=False) as client:
        if warning := other_variables(client.initialized):
            out.warn(warning)
        for report in _reports(client, args, out):
            reports.append(report)
            if not args.json:
                _show(report, out)
    if args.json:
        out.document([{**report, "ok": not _failures(report)} for report in reports])
    failures = [check for report in reports for check in _failures(report)]
    if any(check["code"] == AuthFailed.code for check in failures):
        return AuthFailed.exit_code
    return 1 if failures else 0


def _reports(client: Client, args: Namespace, out: Output) -> Iterator[Mapping[str, Any]]:
    """As they come in. What a name further stands for is tried, too."""
    waiting = _names(client, args, out)
    while waiting:
        name = waiting.pop(0)
        out.detail(f"trying {name or 'the default model'} ...")
        try:
            report = client.call("model/test", {"model": name}, timeout=_LONGEST)
        except InvalidParams as error:
            if not args.all:
                raise
            report = _untried(name, error)  # the others are not to wait for its name
        waiting[:0] = report["candidates"][1:]
        yield {"model": report["model"], "checks": report["checks"]}


def _untried(name: str, error: InvalidParams) -> dict[str, Any]:
    check = {"name": "connect", "outcome": "failed", "seconds": 0.0, "detail": error.message, "remedy": "", "code": error.code}
    return {"model": name, "candidates": [name], "checks": [check]}


def _names(client: Client, args: Namespace, out: Output) -> list[str]:
    if args.provider:
        return [f"{args.provider}/"]
    if not args.all:
        return [args.model]
    names = []
    for provider in client.call("daemon/status", {})["providers"]:
        if provider["state"] == "unavailable":
            out.note(f"{provider['name']} is left out: {provider['detail'] or 'it is not available'}")
        else:
            names.append(f"{provider['name']}/")
    return names


def _failures(report: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [check for check in report["checks"] if check["outcome"] == "failed"]


def _show(report: Mapping[str, Any], out: Output) -> None:
    out.say(report["model"])
    for check in report["checks"]:
        style = {"failed": RED, "skipped": DIM}.get(check["outcome"], "")
        seconds = f"{check['seconds']:.2f} s" if check["seconds"] else ""
        out.say(f"  {check['outcome']:8} {check['name']:18} {seconds:>8}  {check['detail']}".rstrip(), style)
        if check["remedy"]:
            out.say(f"  {'':8} -> {check['remedy']}")
