"""`session export` and `session import`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from agentctl.archive import files
from agentctl.archive.source import Source
from agentctl.client import Client
from agentctl.link import Link
from agentctl.oneshot import new_session
from agentctl.output import Output
from agentwire.errors import AgentError, Conflict, InvalidParams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from agentctl.archive.target import Target
    from agentwire.paths import Paths


def export_(paths: Paths, args: Namespace, out: Output) -> int:
    """The session to a file or to stdout."""
    to_stdout = args.output == "-"
    form = args.format or ("json" if to_stdout else files.format_of(args.output))
    if not (to_stdout or args.force) and files.taken(args.output):
        raise Conflict(f"{args.output} exists; --force overwrites it")
    link = Link(paths)
    try:
        source = Source(link.call, args.session)
        if to_stdout:
            files.FORMATS[form](source, lambda text: out.stream(out.safe(text), flush=False))
        else:
            files.save(source, args.output, form, force=args.force)
    finally:
        link.close()
    return 0


def import_(paths: Paths, args: Namespace, out: Output) -> int:
    """A new session with what a file holds; prints its id."""
    from agentctl.archive import document
    from agentctl.archive.target import Target

    name, data = _read(args.file)
    found = document.read(data, name)
    cwd = os.path.abspath(args.cwd) if args.cwd else found.cwd
    if not os.path.isdir(cwd):
        if args.cwd:
            raise InvalidParams(f"--cwd: there is no folder {cwd}")
        if cwd:
            out.note(f"the session's directory {out.brief(cwd)} does not exist here: it is {os.getcwd()} now")
        cwd = os.getcwd()
    target = Target(found, args.title or found.title, {**new_session(), "cwd": cwd})
    info = _fill(paths, target)
    if target.model_refused:
        out.warn(f"the session has the model {info['model']}: {target.model_refused}")
    if args.json:
        out.document(info)
    else:
        out.say(info["id"])
    return 0


def _fill(paths: Paths, target: Target) -> dict[str, Any]:
    """Either all of it is there in the end, or nothing."""
    link = Link(paths)
    try:
        return target.fill(link.call)
    except BaseException:
        # The connection is in no known state after Ctrl-C.
        with suppress(AgentError), Client.connect(paths) as client:
            target.discard(client.call)
        raise
    finally:
        link.close()


def _read(file: str) -> tuple[str, bytes]:
    """What to call the source, and its content."""
    if file != "-":
        with open(file, "rb") as source:
            return file, source.read()
    if sys.stdin is None or sys.stdin.isatty():
        raise InvalidParams("name the file to import, or pipe it in: agentctl session import talk.json")
    return "standard input", sys.stdin.buffer.read()
