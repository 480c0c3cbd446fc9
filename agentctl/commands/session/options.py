"""The arguments of each verb of `agentctl session`."""

from __future__ import annotations

from argparse import BooleanOptionalAction

from agentctl import arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from typing import Any


def add(group: Any) -> None:
    """All verbs."""
    _list(group)
    _show_and_watch(group)
    _change(group)
    _fork(group)
    _clean(group)
    _settings(group)
    _files(group)


def _on_one(group: Any, name: str, description: str, examples: str) -> ArgumentParser:
    made = arguments.verb(group, name, description, examples)
    made.add_argument("session", metavar="ID", help="the session's id, or a beginning that only it has")
    return made


def _list(group: Any) -> None:
    made = arguments.verb(
        group,
        "list",
        "the sessions, newest activity first",
        "agentctl session list\n"
        "agentctl session list --here --active 12h\n"
        'agentctl session list --all --text parser --json | jq -r ".[].id"',
    )
    made.add_argument("--here", action="store_true", help="only those of this directory")
    made.add_argument("--text", metavar="TEXT", default="", help="only those with TEXT in the title")
    made.add_argument("--status", choices=("idle", "running", "awaiting_approval"), default="", help="only those in this state")
    made.add_argument("--model", metavar="NAME", default="", help="only those of this model, as provider/model")
    made.add_argument("--pinned", action=BooleanOptionalAction, default=None, help="only those that are pinned, or are not")
    made.add_argument("--active", type=arguments.span, metavar="SPAN", help="active within the last 30s, 15m, 12h, 7d")
    made.add_argument("--idle", type=arguments.span, metavar="SPAN", help="not active for so long")
    made.add_argument("--limit", type=arguments.positive, default=20, metavar="N", help="at most so many (default 20)")
    made.add_argument("--all", action="store_true", help="all of them")
    made.add_argument("--cursor", metavar="CURSOR", default="", help="go on behind a page, as its last line on stderr says")
    arguments.add_json(made)


def _show_and_watch(group: Any) -> None:
    show = _on_one(group, "show", "the conversation so far", "agentctl session show 4f2a | less\nagentctl session show 4f2a --json")
    arguments.add_json(show)
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


def _change(group: Any) -> None:
    rename = _on_one(group, "rename", "give it another title", 'agentctl session rename 4f2a "the parser rewrite"')
    rename.add_argument("title")
    arguments.add_json(rename)
    delete = _on_one(
        group, "delete", "erase it; a terminal is asked first", "agentctl session delete 4f2a\nagentctl session delete 4f2a --yes"
    )
    delete.add_argument("-y", "--yes", action="store_true", help="do not ask")
    delete.add_argument("--force", action="store_true", help="even while a turn runs, which is cancelled")


def _fork(group: Any) -> None:
    fork = _on_one(
        group,
        "fork",
        "a new session with the same conversation; prints its id",
        "agentctl session fork 4f2a\n"
        'agentctl session fork 4f2a --turn 3 --title "the other way"\n'
        "agentctl chat -s $(agentctl session fork 4f2a)",
    )
    where = fork.add_mutually_exclusive_group()
    where.add_argument("--turn", type=arguments.positive, metavar="N", help="as it was after turn N (default: as it is)")
    where.add_argument("--at", type=arguments.positive, metavar="SEQ", help="as it was after this event, the end of a step")
    fork.add_argument("--title", default="", help="its title (default: that of the session)")
    arguments.add_json(fork)


def _clean(group: Any) -> None:
    clean = arguments.verb(
        group,
        "clean",
        "erase old sessions, never pinned ones; a terminal is asked first",
        "agentctl session clean --idle 30d --dry-run\nagentctl session clean --idle 30d\nagentctl session clean --age 90d --yes",
    )
    clean.add_argument("--idle", type=arguments.span, default=0.0, metavar="SPAN", help="those not active for 12h, 30d, ...")
    clean.add_argument("--age", type=arguments.span, default=0.0, metavar="SPAN", help="those made so long ago, active or not")
    clean.add_argument("--dry-run", action="store_true", help="only list them")
    clean.add_argument("-y", "--yes", action="store_true", help="do not ask")
    arguments.add_json(clean)


def _settings(group: Any) -> None:
    change = _on_one(
        group,
        "set",
        "its settings: model, instructions, variables of its tools",
        "agentctl session set 4f2a model=openai/gpt-5 max_steps=20\n"
        'agentctl session set 4f2a instructions="Answer in French."\n'
        "agentctl session set 4f2a var.TICKET=4711       its tools see AGENTD_VAR_TICKET\n"
        "agentctl session set 4f2a --unset instructions var.TICKET",
    )
    change.add_argument("assignments", nargs="*", metavar="NAME=VALUE", help="model, max_steps, instructions, pinned, var.NAME")
    change.add_argument("--unset", nargs="+", action="extend", default=[], metavar="NAME", help="as configured again")
    arguments.add_json(change)
    get = _on_one(
        group,
        "get",
        "its settings as they are; with NAME only that value",
        "agentctl session get 4f2a\nagentctl session get 4f2a model\nagentctl session get 4f2a var.TICKET",
    )
    get.add_argument("name", nargs="?", default="", metavar="NAME", help="model, max_steps, instructions, pinned, var.NAME")
    arguments.add_json(get)
    _on_one(group, "pin", "never clean it up", "agentctl session pin 4f2a")
    _on_one(group, "unpin", "clean it up like others", "agentctl session unpin 4f2a")


def _files(group: Any) -> None:
    export = _on_one(
        group,
        "export",
        "write it to a file: JSON holds everything, Markdown is to be read",
        "agentctl session export 4f2a -o talk.md\nagentctl session export 4f2a > talk.json",
    )
    export.add_argument("--format", choices=("json", "markdown"), help="default: as the file's ending says, else json")
    export.add_argument("-o", "--output", metavar="FILE", default="-", help="where to (default: standard output)")
    export.add_argument("--force", action="store_true", help="overwrite the file")
    bring = arguments.verb(
        group,
        "import",
        "a new one from a file of export's, or Markdown with `## User` headings",
        "agentctl session import talk.json\nagentctl session import talk.md --title 'from the other machine'\n"
        "ssh host agentctl session export 4f2a | agentctl session import",
    )
    bring.add_argument("file", nargs="?", default="-", metavar="FILE", help="what to read (default, and -: standard input)")
    bring.add_argument("--title", default="", help="its title (default: that in the file)")
    bring.add_argument("--cwd", metavar="FOLDER", default="", help="its directory (default: that in the file, if it exists here)")
    arguments.add_json(bring)
