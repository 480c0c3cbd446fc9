"""`agentctl status`: how the daemon is. The cheapest command there is, and the one whose start is measured."""

from __future__ import annotations

from agentctl import arguments
from agentctl.client import Client
from agentctl.output import RED, YELLOW, Output, counted, duration, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence
    from typing import Any

    from agentwire.paths import Paths


def parser() -> ArgumentParser:
    """The arguments of `status`."""
    examples = "agentctl status\nagentctl status --json | jq .pid"
    made = arguments.make("agentctl status", "how the daemon is; it is started if it does not run", examples)
    arguments.add_json(made)
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Prints the daemon's state."""
    with Client.connect(paths) as client:
        status = client.call("daemon/status", {})
    show(status, Output(args), as_json=args.json)
    return 0


def show(status: dict[str, Any], out: Output, *, as_json: bool) -> None:
    """A few lines, or the whole of it as JSON."""
    if as_json:
        out.document(status)
        return
    storage = status["storage"]
    out.say(f"agentd {status['version']}, pid {status['pid']}, up {duration(status['uptime'])}")
    out.say(f"model     {status['model']}")
    out.say(f"sessions  {status['sessions']}, {status['running']} running; {counted(status['clients'], 'client')}")
    out.say(f"storage   {storage['path']}, {size(storage['bytes'])}")
    out.say(f"memory    {size(status['rss'])}")
    circuits = status.get("circuits", ())
    for provider in status["providers"]:
        detail = f", {provider['detail']}" if provider["detail"] else ""
        out.say(f"provider  {provider['name']}: {_state(provider, circuits)}{detail}")
    for circuit in circuits:
        left = f" for {duration(circuit['seconds'])}" if circuit["state"] == "open" else ""
        why = f"{circuit['code'].replace('_', ' ')}: {circuit['reason']}"
        out.say(f"circuit   {circuit['target']}: {circuit['state']}{left} ({why})", YELLOW)
    sandbox = status.get("sandbox")
    if sandbox:
        out.say(f"sandbox   {sandbox['state']}: {sandbox['detail']}", "" if sandbox["state"] == "ok" else YELLOW)
    if sandbox and sandbox["remedy"]:
        out.say(f"No command and no function runs without the sandbox. {sandbox['remedy']}", YELLOW)
    if storage["full"]:
        out.say("The disk is full: nothing new is accepted until there is space.", RED)
    if status["resumes_suspended"]:
        out.say(
            "Three unclean starts in five minutes: open turns wait for a new message instead of going on by themselves. Once the "
            "reason is mended (`agentctl daemon logs`), `agentctl daemon restart` ends that.",
            YELLOW,
        )
    for warning in status["warnings"]:
        out.say(f"warning   {warning}", YELLOW)


def _state(provider: dict[str, Any], circuits: Sequence[dict[str, Any]]) -> str:
    """What is ready in itself is not asked all the same while its circuit is open, or not each of its models with each key."""
    name, state = provider["name"], provider["state"]
    left = [circuit["target"] for circuit in circuits if circuit["state"] == "open"]
    if state in ("ready", "idle") and name in left:
        return "left alone"
    in_part = state in ("ready", "idle") and any(target.startswith((f"{name}/", f"{name}#")) for target in left)
    return f"{state} in part" if in_part else str(state)
