"""`session rename`, `delete`, `fork` and `clean`: what makes, changes and erases sessions as wholes."""

from __future__ import annotations

import os
import sys

from agentctl.client import Client
from agentctl.commands.session.listing import SHORT, table
from agentctl.output import Output, counted
from agentwire.errors import Conflict, InvalidParams, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from agentwire.paths import Paths

_PAGE = 1000


def rename_(paths: Paths, args: Namespace, out: Output) -> int:
    """Another title."""
    with Client.connect(paths) as client:
        info = client.call("session/rename", {"session": args.session, "title": args.title})
    if args.json:
        out.document(info)
    return 0


def delete_(paths: Paths, args: Namespace, out: Output) -> int:
    """Erases one session, asking first at a terminal."""
    with Client.connect(paths) as client:
        info = client.call("session/get", {"session": args.session})
        title = f" {out.brief(info['title'])!r}" if info["title"] else ""
        turns = counted(info["turns"], "turn")
        if not (args.yes or _confirmed(f"Erase session {info['id'][:SHORT]}{title}, {turns}, for good?")):
            out.note("nothing was deleted")
            return 1
        client.call("session/delete", {"session": info["id"], "force": args.force})
    return 0


def fork_(paths: Paths, args: Namespace, out: Output) -> int:
    """A new session with the conversation up to a complete step."""
    with Client.connect(paths) as client:
        seq = args.at
        if args.turn is not None:
            seq = _end_of_turn(client, client.call("session/get", {"session": args.session}), args.turn)
        params = {"session": args.session, "seq": seq, "title": args.title, "key": os.urandom(16).hex()}
        info = client.call("session/fork", params)
    if args.json:
        out.document(info)
    else:
        out.say(info["id"])
    return 0


def _end_of_turn(client: Client, info: dict[str, Any], turn: int) -> int:
    """The seq of a turn's last event."""
    after, more = 0, True
    while more:
        page = client.call("event/list", {"session": info["id"], "after": after, "limit": _PAGE})
        for event in page["events"]:
            if event["kind"] == "turn_finished" and event["data"]["turn"] == turn:
                return int(event["seq"])
        more = page["more"] and bool(page["events"])
        after = page["events"][-1]["seq"] if more else after
    if turn == info["turns"]:
        raise Conflict(f"turn {turn} still runs; without --turn the fork has what is complete of it")
    raise NotFound(f"there is no turn {turn}: the session has {counted(info['turns'], 'turn')}")


def clean_(paths: Paths, args: Namespace, out: Output) -> int:
    """Erases what is idle or old, asking first at a terminal."""
    if not (args.idle or args.age):
        raise InvalidParams("say what is to go: --idle 30d for what was not active for so long, --age 90d for what is so old")
    condition = {"idle": args.idle, "age": args.age}
    with Client.connect(paths) as client:
        found = client.call("session/clean", {**condition, "dry_run": True})
        sessions, others = found["sessions"], " and others" * found["more"]
        if sessions and not args.dry_run:
            if not (args.yes or _confirmed(f"Erase {_count(sessions)}{others} for good (--dry-run lists them)?")):
                out.note("nothing was deleted")
                return 1
            sessions, others = _erase_all(client, condition), ""
    if args.json:
        out.document(sessions)
    elif args.dry_run and sessions:
        table(sessions, out)
    done = "would be" if args.dry_run else "were" if len(sessions) > 1 else "was"
    out.note(f"{_count(sessions)}{others} {done} erased")
    return 0


def _erase_all(client: Client, condition: dict[str, Any]) -> list[Any]:
    """As often as it takes: the daemon erases a thousand at once."""
    gone: list[Any] = []
    more = True
    while more:
        found = client.call("session/clean", {**condition, "dry_run": False})
        gone += found["sessions"]
        more = found["more"] and bool(found["sessions"])
    return gone


def _count(sessions: list[Any]) -> str:
    return {0: "no session", 1: "1 session"}.get(len(sessions), f"{len(sessions)} sessions")


def _confirmed(question: str) -> bool:
    """Whether a person agrees. Where nobody can be asked, the command was meant."""
    if sys.stdin is None or not sys.stdin.isatty():
        return True
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
