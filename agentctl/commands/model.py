"""`agentctl model`: what can answer, and models that are fetched: the embedded one's weights, those of Ollama."""

from __future__ import annotations

from agentctl import arguments
from agentctl.client import Client
from agentctl.output import Output
from agentwire.errors import InvalidParams

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
    pulled = arguments.verb(
        group,
        "pull",
        "fetch a model of Ollama, or the embedded model's weights (about 100 MB, checked)",
        "agentctl model pull\nagentctl model pull ollama/llama3.2",
    )
    pulled.add_argument("model", metavar="MODEL", nargs="?", default="", help="ollama/NAME; without it, the embedded model")
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Lists the models, or fetches one."""
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
    from agentwire.weights import EMBEDDED

    out = Output(args)
    if args.model in ("", EMBEDDED.model):
        from agentctl.pull import pull

        pull(paths, report=out.note)
        return 0
    if "/" not in args.model:
        raise InvalidParams(f"{args.model} names no provider; is it ollama/{args.model}?")
    from agentctl.pulling import follow

    with Client.connect(paths) as client:
        follow(client, args.model, out)
    return 0
