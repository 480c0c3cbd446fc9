"""`agentctl config show`: what the daemon was told, and by whom."""

from __future__ import annotations

from agentctl import arguments
from agentctl.client import Client
from agentctl.output import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from agentwire.paths import Paths


def parser() -> ArgumentParser:
    """The arguments of `config`."""
    examples = "agentctl config show\nagentctl config show --json | jq -r '.[] | select(.key == \"model\") | .source'"
    made = arguments.make("agentctl config", "the daemon's settings", examples)
    show = arguments.verb(
        arguments.verbs(made), "show", "every setting with its value and where it comes from; secrets are masked", examples
    )
    arguments.add_json(show)
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Prints the settings of the daemon that runs."""
    out = Output(args)
    with Client.connect(paths) as client:
        view = client.call("config/get", {})
    if args.json:
        out.document(view["values"])
    else:
        out.table(("KEY", "VALUE", "SOURCE"), [(value["key"], _plain(value["value"]), value["source"]) for value in view["values"]])
    for warning in view["warnings"]:
        out.warn(warning)
    return 0


def _plain(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
