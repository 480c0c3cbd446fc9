"""`agentctl store`: the file that has everything: how it is, whether it is sound, copies of it, and a copy in its place."""

from __future__ import annotations

import os
import select
import sys
import time

from agentctl import arguments
from agentctl.client import Client
from agentctl.output import YELLOW, Output, counted, size
from agentwire.errors import DeadlineExceeded, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from agentwire.paths import Paths

EXAMPLES = """\
agentctl store info
agentctl store check --full
agentctl store backup /media/stick
agentctl store restore                     the newest backup
agentctl store vacuum"""
_LONG = 3600.0
"""Seconds for work that goes through the whole file."""
_RESTART_SECONDS, _LOOK_SECONDS = 60.0, 0.2


def parser() -> ArgumentParser:
    """The arguments of `store`."""
    made = arguments.make("agentctl store", "the file in which everything is kept", EXAMPLES)
    group = arguments.verbs(made)
    info = arguments.verb(group, "info", "what is in it, and its backups", "agentctl store info --json")
    check = arguments.verb(
        group, "check", "whether it is sound; exit 1 if it is not", "agentctl store check\nagentctl store check --full"
    )
    check.add_argument("--full", action="store_true", help="every entry of every index and the content of every blob, too")
    backup = arguments.verb(
        group, "backup", "a verified copy, while the daemon runs", "agentctl store backup\nagentctl store backup /media/stick"
    )
    backup.add_argument("path", nargs="?", default="", metavar="PATH", help="a new file or a folder; else beside the other backups")
    restore = arguments.verb(
        group,
        "restore",
        "put a backup in its place; what is there now is kept. A terminal is asked first",
        "agentctl store restore\nagentctl store restore --yes /media/stick/agentd-20260101T120000Z.db",
    )
    restore.add_argument("path", nargs="?", default="", metavar="PATH", help="a backup; else the newest there is")
    restore.add_argument("-y", "--yes", action="store_true", help="do not ask")
    vacuum = arguments.verb(group, "vacuum", "give unused space back to the disk, while the daemon runs", "agentctl store vacuum")
    for each in (info, check, backup, restore, vacuum):
        arguments.add_json(each)
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Runs the verb."""
    return _VERBS[args.verb](paths, args, Output(args))


def _info(paths: Paths, args: Namespace, out: Output) -> int:
    found = _ask(paths, "store/info", {})
    if args.json:
        out.document(found)
        return 0
    out.say(f"{found['path']}, {size(found['bytes'])}, schema {found['schema']}")
    held = ", ".join(counted(found[f"{noun}s"], noun) for noun in ("session", "event", "blob"))
    out.say(f"holds     {held} ({size(found['blob_bytes'])})")
    out.say(f"unused    {size(found['reclaimable'])}; the disk has {size(found['disk_free'])} left")
    if found["full"]:
        out.say("The disk is full: nothing new is accepted until there is space.", YELLOW)
    for backup in found["backups"]:
        out.say(f"backup    {backup['path']}, {size(backup['bytes'])}, {_when(backup['at'])}")
    if not found["backups"]:
        out.say("backup    none yet")
    return 0


def _check(paths: Paths, args: Namespace, out: Output) -> int:
    out.detail("checking ...")
    found = _ask(paths, "store/check", {"full": args.full})
    if args.json:
        out.document(found)
    else:
        for problem in found["problems"]:
            out.say(problem)
        if not found["problems"]:
            out.say(f"no problems ({found['seconds']:.1f} s)")
    if found["problems"]:
        out.note("`agentctl daemon restart` repairs what is damaged, and says what is missing then")
    return 1 if found["problems"] else 0


def _backup(paths: Paths, args: Namespace, out: Output) -> int:
    out.detail("copying and verifying ...")
    made = _ask(paths, "store/backup", {"path": _absolute(args.path)})
    if args.json:
        out.document(made)
    else:
        out.say(f"{made['path']}, {size(made['bytes'])}")
    return 0


def _vacuum(paths: Paths, args: Namespace, out: Output) -> int:
    out.detail("giving back space ...")
    done = _ask(paths, "store/vacuum", {})
    if args.json:
        out.document(done)
    else:
        out.say(f"{size(done['before'])} before, {size(done['after'])} after")
    return 0


def _restore(paths: Paths, args: Namespace, out: Output) -> int:
    path = _absolute(args.path)
    if not args.yes and not _confirmed(path):
        out.note("nothing was changed")
        return 1
    out.detail("verifying the backup ...")
    try:
        client = Client.connect(paths, start=False)
    except Unreachable as error:
        if error.details.get("untrusted"):
            raise
        from agentctl.embedded import restore

        done = restore(path)
    else:
        with client:
            done = client.call("store/restore", {"path": path}, timeout=_LONG)
        _await_other(paths, client.initialized["boot"])
    if args.json:
        out.document(done)
    else:
        out.say(f"restored from {done['backup']['path']} of {_when(done['backup']['at'])}")
        out.say(f"what was there before is kept as {done['kept']}")
    return 0


def _await_other(paths: Paths, boot: str) -> None:
    """Until the daemon has become the next one: whoever comes after this command finds what was restored."""
    deadline = time.monotonic() + _RESTART_SECONDS
    while time.monotonic() < deadline:
        try:
            with Client.connect(paths) as client:
                if client.initialized["boot"] != boot:
                    return
        except Unreachable:  # it went between two of its lives
            pass
        select.select([], [], [], _LOOK_SECONDS)
    raise DeadlineExceeded("the daemon does not restart; see `agentctl daemon logs`. The backup is in place with its next start")


def _confirmed(path: str) -> bool:
    """Whether a person agrees. Where nobody can be asked, the command was meant."""
    if sys.stdin is None or not sys.stdin.isatty():
        return True
    sys.stderr.write(f"Put {path or 'the newest backup'} in the place of all sessions there are now? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _ask(paths: Paths, method: str, params: dict[str, Any]) -> dict[str, Any]:
    with Client.connect(paths) as client:
        return client.call(method, params, timeout=_LONG)


def _absolute(path: str) -> str:
    return os.path.abspath(path) if path else ""


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


_VERBS = {"info": _info, "check": _check, "backup": _backup, "restore": _restore, "vacuum": _vacuum}
