"""`agentctl tool`: which tools there are, what was called and what became of it, and calls of one's own."""

from __future__ import annotations

import json
import os
import time

from agentctl import arguments
from agentctl.client import Client, tool_environment
from agentctl.output import BOLD, DIM, Output, size
from agentwire.errors import InvalidParams, NotFound, ToolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Mapping
    from typing import Any

    from agentwire.paths import Paths

EXAMPLES = """\
agentctl tool list
agentctl tool show read
agentctl tool call glob '{"pattern": "**/*.py"}'
agentctl tool history --outcome error --since 1d"""
_OUTCOMES = ("ok", "error", "denied", "cancelled", "skipped", "unknown", "not_executed", "invalid_arguments", "open")
_LONG = 2 * 86400.0
"""Seconds that a call may take: longer than any tool may run."""
_PAGE = 200
_SHORT = 8


def parser() -> ArgumentParser:
    """The arguments of `tool`."""
    made = arguments.make("agentctl tool", "what models may call: the tools, their calls, calls of your own", EXAMPLES)
    group = arguments.verbs(made)
    listed = arguments.verb(group, "list", "all tools, and how often they were called", "agentctl tool list --json")
    shown = arguments.verb(group, "show", "one tool: what it takes, what it does, how it did", "agentctl tool show shell")
    called = arguments.verb(
        group,
        "call",
        "call a tool yourself: rules that deny hold; exit 54 if it fails, 4 if it is denied, 44 without a sandbox",
        'agentctl tool call read \'{"path": "README.md"}\'\nagentctl tool call shell \'{"command": "make"}\' -s 3f2a --json',
    )
    for each in (shown, called):
        each.add_argument("name", metavar="NAME", help="the tool's name")
    called.add_argument("arguments", metavar="ARGS", nargs="?", default="{}", help="a JSON object")
    called.add_argument(
        "-s",
        "--session",
        metavar="ID",
        default="",
        help="in this session: its directory, environment and mode; else in this directory",
    )
    called.add_argument("--key", default="", help="the same key within a day: the same answer, not a second call")
    told = arguments.verb(
        group,
        "history",
        "the calls there were, newest first",
        "agentctl tool history --tool shell --since 2h\nagentctl tool history --outcome open",
    )
    told.add_argument("--tool", metavar="NAME", default="", help="only of this tool")
    told.add_argument("-s", "--session", metavar="ID", default="", help="only of this session; the beginning of its id will do")
    told.add_argument("--outcome", choices=_OUTCOMES, default="", help="only with this outcome; `open`: not over yet")
    told.add_argument("--since", type=arguments.span, metavar="SPAN", help="only of the last 30m, 12h, 7d, ...")
    told.add_argument("--limit", type=arguments.positive, metavar="N", default=50, help="so many (default: 50)")
    for each in (listed, shown, called, told):
        arguments.add_json(each)
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Runs the verb."""
    out = Output(args)
    with Client.connect(paths) as client:
        return _VERBS[args.verb](client, args, out)


def _list(client: Client, args: Namespace, out: Output) -> int:
    found = client.call("tool/list", {})
    if args.json:
        out.document(found["tools"])
    else:
        header = ("NAME", "SOURCE", "EFFECT", "POLICY", "CALLS", "ERRORS", "DENIED", "SECONDS", "DESCRIPTION")
        out.table(header, (_row(tool) for tool in found["tools"]), right={4, 5, 6, 7})
    for warning in found["warnings"]:
        out.warn(warning)
    return 0


def _row(tool: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (*(str(tool[name]) for name in ("calls", "errors", "denied")), f"{tool['seconds']:.1f}")
    return (tool["name"], tool["source"], tool["effect"], tool["policy"], *counts, tool["description"].partition("\n")[0])


def _show(client: Client, args: Namespace, out: Output) -> int:
    tools = {tool["name"]: tool for tool in client.call("tool/list", {})["tools"]}
    if args.name not in tools:
        raise NotFound(f"there is no tool called {args.name}; `agentctl tool list` shows all")
    tool = tools[args.name]
    if args.json:
        out.document(tool)
        return 0
    out.say(tool["name"], BOLD)
    out.say(tool["description"])
    out.say(f"source  {tool['source']}, effect {tool['effect']}, policy {tool['policy']}")
    last = f", the last {_when(tool['last_at'])}" if tool["last_at"] else ""
    out.say(f"calls   {tool['calls']}, errors {tool['errors']}, denied {tool['denied']}, {tool['seconds']:.1f} s in all{last}")
    out.say(json.dumps(tool["parameters"], ensure_ascii=False, indent=2), DIM)
    return 0


def _call(client: Client, args: Namespace, out: Output) -> int:
    try:
        given = json.loads(args.arguments)
    except ValueError as error:
        raise InvalidParams(f"ARGS is no JSON ({error}); put it in single quotes, such as '{{\"k\": 1}}'") from None
    if not isinstance(given, dict):
        raise InvalidParams("ARGS must be a JSON object, such as '{\"k\": 1}'")
    environment = tool_environment(os.environ)
    asked = {"name": args.name, "arguments": given, "session": args.session, "key": args.key}
    called = client.call("tool/call", {**asked, "cwd": os.getcwd(), "environment": environment}, timeout=_LONG)
    if args.json:
        out.document(called)
    else:
        _tell(called["parts"], out)
    if called["outcome"] != "ok":
        out.note(f"{args.name}: {called['outcome']}, after {called['seconds']:.1f} s; call {called['call']}")
        return ToolError.exit_code
    return 0


def _tell(parts: Iterable[Mapping[str, Any]], out: Output) -> None:
    for part in parts:
        if part["kind"] == "text":
            text = part["text"]
            out.stream(out.safe(text if text.endswith("\n") or not text else text + "\n"))
        else:
            out.note(f"[{part['media']}, {size(part['bytes'])}]")


def _history(client: Client, args: Namespace, out: Output) -> int:
    asked: dict[str, Any] = {"tool": args.tool, "session": args.session, "outcome": args.outcome}
    if args.since is not None:
        asked["since"] = time.time() - args.since
    calls: list[dict[str, Any]] = []
    while len(calls) < args.limit:
        page = client.call("tool/history", {**asked, "limit": min(args.limit - len(calls), _PAGE)})
        calls += page["calls"]
        if page["cursor"] is None:
            break
        asked["before"] = page["cursor"]
    if args.json:
        out.document(calls)
    elif calls:
        header = ("WHEN", "SESSION", "TOOL", "OUTCOME", "SECONDS", "ARGUMENTS")
        out.table(header, (_told(call, out) for call in calls), right={4}, yields=(2,))
    else:
        out.detail("no calls")
    return 0


def _told(call: Mapping[str, Any], out: Output) -> tuple[str, ...]:
    when = _when(call["planned_at"]) if out.tty else f"{call['planned_at']:.3f}"
    session = call["session"][:_SHORT] if out.tty else call["session"]
    seconds = f"{call['seconds']:.1f}" if call["outcome"] else ""
    return (when, session or "-", call["name"], call["outcome"] or call["state"], seconds, call["arguments_json"])


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


_VERBS = {"list": _list, "show": _show, "call": _call, "history": _history}
