"""`agentctl permission`: what tools may do: the rules, and what would become of a call."""

from __future__ import annotations

import json
import os

from agentctl import arguments
from agentctl.client import Client
from agentctl.output import BOLD, Output, counted
from agentwire.errors import InvalidParams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping, Sequence
    from typing import Any

    from agentwire.paths import Paths

EXAMPLES = """\
agentctl permission list
agentctl permission add allow 'shell(npm ci)'
agentctl permission add deny 'read(./secrets/**)'
agentctl permission explain shell 'git push'
agentctl permission trust"""

_MAIN = {"shell": "command", "read": "path", "glob": "pattern", "grep": "pattern", "fetch": "url"}
"""The main arguments of the daemon's own tools; those of others are asked for."""


def parser() -> ArgumentParser:
    """The arguments of `permission`."""
    made = arguments.make("agentctl permission", "what tools may do without a question, with one, and not at all", EXAMPLES)
    group = arguments.verbs(made)
    listed = arguments.verb(
        group,
        "list",
        "the rules that hold here, strongest first",
        "agentctl permission list\nagentctl permission list --all --json",
    )
    listed.add_argument("--all", action="store_true", help="the built-in rules, too")
    for name, text in (("add", "add a rule of yours"), ("remove", "remove a rule of yours")):
        changed = arguments.verb(group, name, text, f"agentctl permission {name} allow 'shell(git push origin *)'")
        changed.add_argument(
            "verdict",
            choices=("allow", "ask", "deny"),
            nargs="?",
            default="allow",
            help="allow (default), or ask or deny, which win",
        )
        changed.add_argument("rule", metavar="RULE", help="Tool or Tool(pattern), such as 'shell(npm ci)'; see docs/permissions.md")
        changed.add_argument(
            "-s", "--session", metavar="ID", default="", help="of this session only; the beginning of its id will do"
        )
        arguments.add_json(changed)
    explained = arguments.verb(
        group,
        "explain",
        "what would become of a call, and the rule that decides",
        "agentctl permission explain shell 'git status'\nagentctl permission explain read '{\"path\": \"/etc/hosts\"}'",
    )
    explained.add_argument("tool", metavar="TOOL", help="its name; see `agentctl tool list`")
    explained.add_argument("arguments", metavar="ARGS", nargs="?", default="{}", help="JSON, or the tool's main argument as it is")
    for each in (listed, explained):
        each.add_argument(
            "-s", "--session", metavar="ID", default="", help="as in this session; else as in a new one of this directory"
        )
        arguments.add_json(each)
    trusted = arguments.verb(
        group,
        "trust",
        "let the rules in this project's .agentd/config.toml count, as it is now",
        "agentctl permission trust\nagentctl permission trust --no",
    )
    trusted.add_argument("--no", action="store_true", help="not any more")
    arguments.add_json(trusted)
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Runs the verb."""
    out = Output(args)
    with Client.connect(paths) as client:
        return _VERBS[args.verb](client, args, out)


def _context(args: Namespace) -> dict[str, str]:
    return {"session": args.session} if args.session else {"cwd": os.getcwd()}


def _list(client: Client, args: Namespace, out: Output) -> int:
    found = client.call("permission/list", _context(args))
    if not args.all:
        found["rules"] = [rule for rule in found["rules"] if rule["scope"] != "built-in"]
    if args.json:
        out.document(found["rules"])
    else:
        out.table(("VERDICT", "RULE", "FROM"), ((rule["verdict"], rule["rule"], rule["source"]) for rule in found["rules"]))
    out.note(f"where no rule speaks the mode does: {found['mode']}" + ("" if args.all else "; --all shows the built-in rules, too"))
    if found["untrusted"]:
        out.note(f"{found['untrusted']} is not trusted: what it allows does not count. See it, then `agentctl permission trust`")
    return 0


def _change(client: Client, args: Namespace, out: Output) -> int:
    change = {"rule": args.rule, "verdict": args.verdict, "session": args.session}
    client.call(f"permission/{args.verb}", change)
    if args.json:
        out.document(change)
    else:
        out.note(f"{'added' if args.verb == 'add' else 'removed'}: {args.verdict} {out.brief(args.rule)}")
    return 0


def _explain(client: Client, args: Namespace, out: Output) -> int:
    asked = {**_context(args), "name": args.tool, "arguments": _arguments(client, args.tool, args.arguments)}
    told = client.call("permission/explain", asked)
    if args.json:
        out.document(told)
    else:
        _tell(told, out)
    return 0


def _tell(told: Mapping[str, Any], out: Output) -> None:
    out.say(f"{told['verdict']}: {told['why']}", BOLD)
    if told["rule"]:
        out.say(f"rule      {told['rule']} ({told['source']})")
    for access in told["accesses"]:
        out.say(f"{access['kind']:<9} {_quoted(*access['words']) or access['target']}")
    for rule in told["proposes"]:
        out.say(f"to allow  agentctl permission add allow {_quoted(rule)}")
    if told["verdict"] != "deny" and told["sandbox"]:
        out.say(f"sandbox   {told['sandbox']}")


def _quoted(*words: str) -> str:
    """As a shell would need them."""
    import shlex

    return shlex.join(words)


def _arguments(client: Client, tool: str, text: str) -> dict[str, Any]:
    """An object, or one text for the first argument that the tool must have."""
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if isinstance(given, dict):
        return given
    if text.lstrip().startswith("{"):
        raise InvalidParams("ARGS begins like JSON and is none; put it in single quotes")
    wanted: Sequence[str] = [_MAIN[tool]] if tool in _MAIN else ()
    if not wanted:
        tools = client.call("tool/list", {})["tools"]
        wanted = next((one["parameters"].get("required", []) for one in tools if one["name"] == tool), ())
    if not wanted:
        raise InvalidParams(f"{tool} has no main argument: give ARGS as a JSON object")
    return {wanted[0]: text}


def _trust(client: Client, args: Namespace, out: Output) -> int:
    told = client.call("permission/trust", {"cwd": os.getcwd(), "trusted": not args.no})
    if args.json:
        out.document(told)
        return 0
    for rule in told["rules"]:
        out.say(f"{rule['verdict']:<6} {rule['rule']}")
    allowed = [rule for rule in told["rules"] if rule["verdict"] == "allow"]
    now = f"{counted(len(allowed), 'rule')} that allow" if not args.no else "none of those that allow"
    out.note(f"{told['path']}: {now} now count{'' if args.no else ', until it changes'}")
    return 0


_VERBS = {"list": _list, "add": _change, "remove": _change, "explain": _explain, "trust": _trust}
