"""`agentctl model`: what can answer, and the embedded model's weights."""

from __future__ import annotations

from agentctl import arguments
from agentctl.client import Client
from agentctl.output import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from agentwire.paths import Paths


def parser() -> ArgumentParser:
    """The arguments of `model`."""
    made = arguments.make("agentctl model", "models", "agentctl model list\nagentctl model pull")
    group = arguments.verbs(made)
    listed = arguments.verb(
        group, "list", "the models that can be named with --model", "agentctl model list\nagentctl model list --json"
    )
    arguments.add_json(listed)
    arguments.verb(group, "pull", "fetch the embedded model's weights (about 100 MB, checked)", "agentctl model pull")
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Lists the models, or fetches the embedded one."""
    return _pull(paths, args) if args.verb == "pull" else _list(paths, args)


def _list(paths: Paths, args: Namespace) -> int:
    out = Output(args)
    with Client.connect(paths) as client:
        models = client.call("model/list", {})["models"]
    if args.json:
        out.document(models)
        return 0
    rows = []
    for model in models:
        state = "default" if model["default"] else "" if model["available"] else "not available"
        rows.append((model["id"], f"{model['context']}" if model["context"] else "", state, model["note"]))
    out.table(("MODEL", "CONTEXT", "STATE", "NOTE"), rows)
    return 0


def _pull(paths: Paths, args: Namespace) -> int:
    from agentctl.pull import pull

    out = Output(args)
    pull(paths, report=out.note)
    return 0
