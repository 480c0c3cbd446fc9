"""`agentctl session`: the sessions there are. Each verb is one or two requests and some printing."""

from __future__ import annotations

import sys

from agentctl import arguments
from agentctl.client import Client
from agentctl.output import Output, duration
from agentwire.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator
    from typing import Any

    from agentctl.link import Link
    from agentwire.paths import Paths

EXAMPLES = """\
agentctl session list
agentctl session show 4f2a
agentctl session rename 4f2a "the parser rewrite"
agentctl session watch 4f2a --json | jq -r .kind
agentctl session delete 4f2a --yes"""
_PAGE = 200
_SHORT = 8
"""Digits of an id in a table: 32 bits are unique among as many sessions as a person makes, and the daemon says if they are not."""


def parser() -> ArgumentParser:
    """The arguments of `session`."""
    made = arguments.make("agentctl session", "sessions: conversations that survive everything", EXAMPLES)
    group = arguments.verbs(made)
    listed = arguments.verb(
        group, "list", "the sessions, newest activity first", "agentctl session list\nagentctl session list --all --json"
    )
    listed.add_argument("--limit", type=arguments.positive, default=20, metavar="N", help="at most so many (default 20)")
    listed.add_argument("--all", action="store_true", help="all of them")
    arguments.add_json(listed)
    show = _on_one(group, "show", "the conversation so far", "agentctl session show 4f2a | less\nagentctl session show 4f2a --json")
    arguments.add_json(show)
    rename = _on_one(group, "rename", "give it another title", 'agentctl session rename 4f2a "the parser rewrite"')
    rename.add_argument("title")
    arguments.add_json(rename)
    delete = _on_one(
        group, "delete", "erase it; a terminal is asked first", "agentctl session delete 4f2a\nagentctl session delete 4f2a --yes"
    )
    delete.add_argument("-y", "--yes", action="store_true", help="do not ask")
    delete.add_argument("--force", action="store_true", help="even while a turn runs, which is cancelled")
    watch = _on_one(
        group,
        "watch",
        "follow what happens, until Ctrl-C",
        "agentctl session watch 4f2a\nagentctl session watch 4f2a --after 0 --json",
    )
    watch.add_argument(
        "--after", type=arguments.number, default=None, metavar="SEQ", help="begin behind this event; 0 is the beginning"
    )
    watch.add_argument("--json", action="store_true", help="every event as one line of JSON")
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Runs the verb."""
    out = Output(args)
    if args.verb == "watch":
        return _watch(paths, args, out)
    with Client.connect(paths) as client:
        return {"list": _list, "show": _show, "rename": _rename, "delete": _delete}[args.verb](client, args, out)


def _on_one(group: Any, name: str, description: str, examples: str) -> ArgumentParser:
    made = arguments.verb(group, name, description, examples)
    made.add_argument("session", metavar="ID", help="the session's id, or a beginning that only it has")
    return made


def _list(client: Client, args: Namespace, out: Output) -> int:
    sessions, more = _sessions(client, None if args.all else args.limit)
    if args.json:
        out.document(sessions)
        return 0
    import time

    now = time.time()
    rows = [
        (
            session["id"][:_SHORT] if out.tty else session["id"],
            session["status"].replace("_", " "),
            f"{duration(now - session['updated_at'], 1)} ago" if out.tty else f"{session['updated_at']:.0f}",
            str(session["turns"]),
            session["cwd"],
            session["title"],
        )
        for session in sessions
    ]
    out.table(("ID", "STATUS", "ACTIVE", "TURNS", "DIRECTORY", "TITLE"), rows)
    if more:
        out.detail(f"the newest {len(sessions)} sessions; --limit N or --all for more")
    return 0


def _sessions(client: Client, limit: int | None) -> tuple[list[dict[str, Any]], bool]:
    """The newest `limit` sessions (None: all), and whether there are more."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = client.call("session/list", {"limit": _PAGE if limit is None else min(limit - len(found), _PAGE), "before": cursor})
        found += page["sessions"]
        cursor = page["cursor"]
        if not cursor or len(found) == limit:
            return found, bool(cursor)


def _show(client: Client, args: Namespace, out: Output) -> int:
    info = client.call("session/get", {"session": args.session})
    events = _events(client, info["id"])
    if args.json:
        out.document(list(events))
        return 0
    from agentctl.chat.view import Transcript

    transcript = Transcript(info["id"], info["model"])
    for event in events:
        _print(transcript.apply(event), out)
    _print(transcript.tail(), out)
    for waiting in transcript.queue.values():
        out.note(f"waiting: {out.brief(waiting.text)}")
    return 0


def _events(client: Client, session: str) -> Iterator[dict[str, Any]]:
    after = 0
    while True:
        page = client.call("event/list", {"session": session, "after": after, "limit": _PAGE})
        yield from page["events"]
        if not page["more"] or not page["events"]:
            return
        after = page["events"][-1]["seq"]


def _rename(client: Client, args: Namespace, out: Output) -> int:
    info = client.call("session/rename", {"session": args.session, "title": args.title})
    if args.json:
        out.document(info)
    return 0


def _delete(client: Client, args: Namespace, out: Output) -> int:
    info = client.call("session/get", {"session": args.session})
    if not args.yes and sys.stdin is not None and sys.stdin.isatty() and not _confirmed(info, out):
        out.note("nothing was deleted")
        return 1
    client.call("session/delete", {"session": info["id"], "force": args.force})
    return 0


def _confirmed(info: dict[str, Any], out: Output) -> bool:
    title = f" {out.brief(info['title'])!r}" if info["title"] else ""
    turns = "1 turn" if info["turns"] == 1 else f"{info['turns']} turns"
    sys.stderr.write(f"Erase session {info['id'][:_SHORT]}{title}, {turns}, for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _watch(paths: Paths, args: Namespace, out: Output) -> int:
    from agentctl.link import Link
    from agentctl.turns import REPLACED

    link = Link(paths)
    try:
        info = link.call("session/get", {"session": args.session})
        watching = link.watch(info["id"], after=args.after)
        if args.json:
            for event in link.events():
                if event["kind"] == REPLACED:
                    out.note("the session's history was replaced; what follows goes on from the view that is given now")
                out.line({"type": "event", **event})
        else:
            _follow(link, info, watching if args.after is None else None, out)
    finally:
        link.close()
    raise AgentError("the watch ended")  # not reached: a watch ends by Ctrl-C or an error


def _follow(link: Link, info: dict[str, Any], watching: dict[str, Any] | None, out: Output) -> None:
    from agentctl.chat import render
    from agentctl.chat.view import Transcript
    from agentctl.turns import RECONNECTED, REPLACED

    transcript = Transcript(info["id"], info["model"])
    out.note(f"session {info['id'][:_SHORT]}, {info['status'].replace('_', ' ')}; Ctrl-C ends the watching, not the session")
    if watching is not None:
        _print(transcript.load(watching), out)
    for event in link.events():
        if event["kind"] == RECONNECTED:
            transcript.lost()
        if event["kind"] == REPLACED:
            transcript = Transcript(info["id"], info["model"], after=transcript)
            _print(transcript.note(render.replaced()) + transcript.load(event["data"]), out)
        else:
            _print(transcript.apply(event), out)


def _print(lines: Any, out: Output) -> None:
    for line in lines:
        out.say(line.text, _STYLES.get(line.style, ""))
    out.stream("")


_STYLES = {"user": "1", "tool": "2", "tool-bad": "31", "seam": "2", "error": "31", "queued": "2", "question": "33", "heading": "1"}
