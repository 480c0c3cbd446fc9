"""`agentctl model`: what can answer, and models that are fetched: the embedded one's weights, those of Ollama."""

from __future__ import annotations

import os

from agentctl import arguments
from agentctl.client import Client, other_variables
from agentctl.output import Output
from agentwire.errors import InvalidParams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping
    from typing import Any

    from agentwire.paths import Paths

_EACH = 12
"""Models of each provider on a terminal, beside those that are configured, unless all are wanted."""
_LETTERS = {
    "tools": "T",
    "emulated-tools": "t",
    "images": "I",
    "files": "F",
    "schema": "S",
    "emulated-schema": "s",
    "reasoning": "R",
}


def parser() -> ArgumentParser:
    """The arguments of `model`."""
    made = arguments.make("agentctl model", "models", "agentctl model list\nagentctl model pull")
    group = arguments.verbs(made)
    listed = arguments.verb(
        group,
        "list",
        "the models that can be named with --model: what they take, what they cost, how they are",
        "agentctl model list\nagentctl model list --refresh claude\nagentctl model list --json | jq '.[].id'",
    )
    listed.add_argument("filter", metavar="FILTER", nargs="?", default="", help="only models with this in their name")
    listed.add_argument("--refresh", action="store_true", help="ask the hosts anew which models they have")
    listed.add_argument("--all", action="store_true", help="on a terminal, too, all that the hosts list")
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
    with _connected(paths, out) as client:
        models = client.call("model/list", {"refresh": args.refresh})["models"]
    found = [model for model in models if _matches(model, args.filter.casefold())]
    if args.json:
        out.document(found)
        return 0
    shown = found if args.all or args.filter or not out.tty else _first(found)
    out.table(("MODEL", "CONTEXT", "OUTPUT", "PRICE", "CAN", "STATE", "NOTE"), map(_row, shown), right=(1, 2, 3), yields=(5, 0))
    if len(shown) < len(found):
        out.note(f"and {len(found) - len(shown)} more; --all shows them, and so does a part of their name")
    if out.tty and shown:
        out.note("PRICE in $ for a million tokens, in/out")
        out.note("CAN T tools, I images, F files, S schemas, R reasoning, small: emulated")
    return 0


def _matches(model: Mapping[str, Any], text: str) -> bool:
    return any(text in name.casefold() for name in (model["id"], *model.get("candidates", ())))


def _first(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is configured, the first of what else each provider has, and whoever did not answer."""
    seen: dict[str, int] = {}
    shown = []
    for model in models:
        provider, _, name = model["id"].partition("/")
        further = model.get("source") != "configured" and bool(name)
        seen[provider] = seen.get(provider, 0) + further
        if not further or seen[provider] <= _EACH:
            shown.append(model)
    return shown


def _row(model: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        model["id"],
        _tokens(model["context"]),
        _tokens(model.get("max_output", 0)),
        _price(model),
        _can(model),
        _state(model),
        _note(model),
    )


def _tokens(count: int) -> str:
    """`128k`, `1M`; empty if unknown."""
    if count < 1000:
        return str(count or "")
    return f"{count / 1e6:.3g}M" if count >= 999_500 else f"{count / 1000:.0f}k"


def _price(model: Mapping[str, Any]) -> str:
    price = model.get("price")
    if price is None:
        return "" if model.get("candidates") or model["id"].endswith("/") else "?"
    return f"{price['input']:g}/{price['output']:g}" if price["input"] or price["output"] else "free"


def _can(model: Mapping[str, Any]) -> str:
    words = model.get("capabilities", ())
    return "".join(letter for word, letter in _LETTERS.items() if word in words)


def _state(model: Mapping[str, Any]) -> str:
    health = model.get("health", "").rpartition(": ")[2]
    words = ["default"] if model["default"] else []
    if health or not model["available"]:
        words.append(health.replace("_", " ") or "not available")
    return ", ".join(words)


def _note(model: Mapping[str, Any]) -> str:
    if candidates := model.get("candidates"):
        return f"{', '.join(candidates)} ({model['note']})"
    guess = "" if model.get("known", True) or model["id"].endswith("/") else "limits are a guess"
    return "; ".join(filter(None, (model["note"], guess)))


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

    with _connected(paths, out) as client:
        follow(client, args.model, out)
    return 0


def _connected(paths: Paths, out: Output) -> Client:
    """Which hosts are asked, and with which keys, is the daemon's configuration: said if it is not what is set here."""
    client = Client.connect(paths, environ=os.environ, prompting=False)
    if warning := other_variables(client.initialized):
        out.warn(warning)
    return client
