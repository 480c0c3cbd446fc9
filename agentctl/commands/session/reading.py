"""`session show` and `session watch`: what was said, and what is being said."""

from __future__ import annotations

from agentctl.client import Client
from agentctl.commands.session.listing import SHORT
from agentctl.output import Output
from agentwire.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Iterator
    from typing import Any

    from agentctl.chat.render import Line
    from agentctl.link import Link
    from agentwire.paths import Paths

_PAGE = 1000
_STYLES = {
    "user": "1",
    "tool": "2",
    "tool-bad": "31",
    "seam": "2",
    "notice": "2",
    "error": "31",
    "queued": "2",
    "question": "33",
    "heading": "1",
    "warning": "33",
    "added": "32",
    "removed": "31",
}


def show_(paths: Paths, args: Namespace, out: Output) -> int:
    """The conversation, or its events."""
    with Client.connect(paths) as client:
        if args.json:
            info = client.call("session/get", {"session": args.session})
            out.document(list(_events(client, info["id"])))
        else:
            _transcribe(client, args.session, out)
    return 0


def _transcribe(client: Client, session: str, out: Output) -> None:
    """Also what there is of the open turn: its draft, which no event holds yet."""
    from agentctl.chat.view import Transcript

    watching = client.call("session/watch", {"session": session})
    transcript = Transcript(watching["session"], watching["view"]["info"]["model"])
    for event in _events(client, watching["session"]):
        if event["seq"] <= watching["seq"]:
            _print(transcript.apply(event), out)
    _print(transcript.load(watching), out)
    _print(transcript.tail(), out)
    for waiting in transcript.queue.values():
        out.note(f"waiting: {out.brief(waiting.text)}")


def _events(client: Client, session: str) -> Iterator[dict[str, Any]]:
    after = 0
    while True:
        page = client.call("event/list", {"session": session, "after": after, "limit": _PAGE})
        yield from page["events"]
        if not page["more"] or not page["events"]:
            return
        after = page["events"][-1]["seq"]


def watch_(paths: Paths, args: Namespace, out: Output) -> int:
    """What happens, until Ctrl-C, or until the reader of stdout is gone."""
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
    out.note(f"session {info['id'][:SHORT]}, {info['status'].replace('_', ' ')}; Ctrl-C ends the watching, not the session")
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


def _print(lines: Iterable[Line], out: Output) -> None:
    for line in lines:
        out.say(line.text, _STYLES.get(line.style, ""))
    out.stream("")
