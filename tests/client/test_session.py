"""`agentctl session` and its verbs, as people and scripts use them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from agentwire.errors import NotFound
from agentwire.types import HistoryMessage, Text
from tests.client.cli import Answer, agentctl, end, start
from tests.fakes.daemon_server import SESSION, Act, FakeDaemon, Finish, Log, Message, Say, Until, denied
from tests.fakes.sessions import FakeSessions


def page(number: int, cursor: str) -> dict[str, Any]:
    info = {"id": f"{number:032x}", "title": "a\ttitle", "cwd": "/", "model": "m", "status": "awaiting_approval"}
    return {"sessions": [info | {"created_at": 0.0, "updated_at": 1.0, "turns": 1, "queued": 0}], "cursor": cursor}


# --- list ------------------------------------------------------------------------------------------------------------------------


def test_session_list(home: Path) -> None:
    """In a pipe: one line a session, whole ids, no header, nothing that breaks the columns."""
    with FakeDaemon(home, answers={"session/list": page(7, "more")}):
        answer = agentctl(home, "session", "list", "--limit", "1")
        assert [session["id"] for session in agentctl(home, "session", "list", "--limit", "1", "--json").document] == [f"{7:032x}"]
        pages = agentctl(home, "-q", "session", "list", "--limit", "1")
    assert answer.out == pages.out == f"{7:032x}\tawaiting approval\t1\t1\t/\ta title\n"
    assert answer.err == "there are more: --all shows all, --cursor more the next\n"
    assert pages.err == ""


def test_session_list_pages(home: Path) -> None:
    """--all asks for page after page."""
    with FakeDaemon(home, answers={"session/list": page(1, "")}) as daemon:
        agentctl(home, "session", "list", "--all")
    assert daemon.asked("session/list") == [{"limit": 1000, "before": ""}]
    with FakeDaemon(home, answers={"session/list": page(1, "c")}) as daemon:
        agentctl(home, "session", "list", "--limit", "3")
    assert daemon.asked("session/list") == [{"limit": 3, "before": ""}, {"limit": 2, "before": "c"}, {"limit": 1, "before": "c"}]


def test_session_list_filters(home: Path) -> None:
    """What is asked is the daemon's to find; what is not asked is not sent."""
    flags = ["--here", "--text", "Sum", "--status", "idle", "--model", "m", "--no-pinned", "--active", "2h", "--idle", "30s"]
    with FakeDaemon(home, answers={"session/list": page(1, "")}) as daemon:
        before = time.time()
        assert agentctl(home, "session", "list", *flags, "--cursor", "c").code == 0
    (asked,) = daemon.asked("session/list")
    active, idle = asked.pop("active_after"), asked.pop("active_before")
    assert asked == {"cwd": str(home), "text": "Sum", "status": "idle", "model": "m", "pinned": False, "limit": 20, "before": "c"}
    assert before - 7200 <= active <= time.time() - 7200
    assert before - 30 <= idle <= time.time() - 30


@pytest.mark.parametrize("span", ["7", "d", "1w", "-1d", "0h", "1.5h", "٣d", ""])
def test_wrong_spans(home: Path, span: str) -> None:
    """A span has a whole number and a unit; the message has examples."""
    answer = agentctl(home, "session", "list", f"--idle={span}")
    assert answer.code == 2
    assert "expected a span of time such as 30s, 15m, 12h or 7d" in answer.err


def test_a_pinned_session_is_marked(home: Path) -> None:
    """In its status."""
    sessions = FakeSessions()
    sessions.add(pinned=True)
    with FakeDaemon(home, sessions=sessions):
        assert agentctl(home, "session", "list").out.split("\t")[1] == "idle, pinned"


# --- show, watch -----------------------------------------------------------------------------------------------------------------


def test_session_show(home: Path) -> None:
    """The conversation as people read it, or its events; from all pages of the log, by the beginning of an id."""
    with FakeDaemon(home, [Say("I write."), *denied("write"), Say("No."), Finish(denials=1)]) as daemon:
        agentctl(home, "run", "please")
        text, events = (
            agentctl(home, "session", "show", SESSION[:6]).out,
            agentctl(home, "session", "show", SESSION, "--json").document,
        )
        unknown = agentctl(home, "session", "show", "ffff")
    assert [line for line in text.splitlines() if line][:2] == ["> please", "I write."]
    assert events == daemon.log
    assert (unknown.code, unknown.err) == (1, "agentctl: error: there is no session ffff\n")


def test_session_show_while_a_turn_runs(home: Path) -> None:
    """What the model has said so far belongs to it."""
    with FakeDaemon(home, [Say("first line\nand now"), Until("session/cancel"), Finish()]) as daemon:
        process = start(home, "run", "tell")
        assert process.stdout is not None
        process.stdout.read(10)
        shown = agentctl(home, "session", "show", SESSION)
        daemon.requests.append(("session/cancel", {}))
        process.kill()
        end(process)
    assert shown.out == "> tell\n\nfirst line\nand now\n"


def test_session_watch_ends_with_its_reader(home: Path) -> None:
    """`| head` ends it although nothing happens in the session."""
    with FakeDaemon(home, [Say("hello"), Finish()]) as daemon:
        agentctl(home, "run", "hi")
        process = start(home, "session", "watch", SESSION, "--after", "0", "--json")
        assert process.stdout is not None and process.stderr is not None
        for _ in daemon.log:
            process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 141
        assert process.stderr.read() == b""
        process.stderr.close()


def test_run_says_that_a_reply_is_cut(home: Path) -> None:
    """On stderr, whatever stdout holds."""
    script: list[Act] = [Say("too lo"), Message("length"), Finish()]
    for form in ("text", "json"):
        with FakeDaemon(home, script):
            answer = agentctl(home, "run", "hi", "--output-format", form)
        assert (answer.code, answer.err) == (0, "the reply reached its length limit: it is not complete\n")


def test_what_was_said_elsewhere(home: Path) -> None:
    """A fork's and an import's conversation is shown as if it had been said here, below one line that says so."""
    parts: list[dict[str, Any]] = [{"kind": "text", "text": "I add."}]
    call = {"kind": "tool_call", "id": "c", "name": "add", "arguments_json": '{"a": 1}'}
    result = {"kind": "tool_result", "call": "c", "parts": [{"kind": "text", "text": "2"}], "is_error": False}
    preferences = {"model": "m", "max_steps": 0, "pinned": True, "instructions": None}
    configured = {"preferences": preferences, "variables": {"A": "1", "B": None}}
    with FakeDaemon(home) as daemon:
        daemon.log[0]["data"]["parent"] = "abcdef0123"
        daemon.add("session_configured", configured)
        daemon.add("message_added", {"role": "user", "parts": [{"kind": "text", "text": "1 + 1?"}]})
        daemon.add("message_added", {"role": "assistant", "parts": [*parts, call]})
        daemon.add("message_added", {"role": "tool", "parts": [result]})
        daemon.add("message_added", {"role": "assistant", "parts": [{"kind": "text", "text": "2"}]})
        shown = agentctl(home, "session", "show", SESSION).out
    assert [line for line in shown.splitlines() if line] == [
        "settings: model=m, max_steps as configured, pinned=true, var.A=1, var.B taken away",
        "── earlier, in session abcdef01 ──",
        "> 1 + 1?",
        "I add.",
        "● add(a=1) → 2",
        "2",
    ]


def test_session_watch(home: Path) -> None:
    """Every event behind --after as a line of JSON, until Ctrl-C, which ends the watching only: exit 130."""
    with FakeDaemon(home, [Say("hello"), Finish()]) as daemon:
        agentctl(home, "run", "hi")
        process = start(home, "session", "watch", SESSION[:5], "--after", "1", "--json")
        assert process.stdout is not None
        events = [json.loads(process.stdout.readline()) for _ in range(4)]
        process.send_signal(signal.SIGINT)
        answer = end(process)
    assert [event["seq"] for event in events] == [2, 3, 4, 5]
    assert answer == (130, "", "")
    assert not daemon.asked("session/cancel")


# --- change ----------------------------------------------------------------------------------------------------------------------


def test_rename_and_delete(home: Path) -> None:
    """Off a terminal nothing is asked; --json answers with the thing."""
    with FakeDaemon(home) as daemon:
        assert agentctl(home, "session", "rename", SESSION, "new", "--json").document["title"] == "new"
        assert agentctl(home, "session", "delete", SESSION[:4], "--force") == (0, "", "")
    assert daemon.asked("session/delete") == [{"session": SESSION, "force": True}]


@pytest.mark.parametrize(("typed", "deleted"), [(b"y\n", True), (b"\n", False)])
def test_delete_asks_at_a_terminal(home: Path, typed: bytes, *, deleted: bool) -> None:
    """A person is asked, and anything but yes keeps the session."""
    ours, theirs = pty.openpty()
    with FakeDaemon(home) as daemon:
        process = start(home, "session", "delete", SESSION, stdin=theirs)
        os.write(ours, typed)
        answer = end(process)
    os.close(ours)
    os.close(theirs)
    assert "Erase session 5e551011 'a talk', no turns" in answer.err
    assert (answer.code == 0, bool(daemon.asked("session/delete"))) == (deleted, deleted)


def test_fork(home: Path) -> None:
    """Its id on stdout, or the whole of it; the end of a turn is found in the log."""
    finished = Log("turn_finished", {"turn": 1, "outcome": "done", "steps": 1, "denials": 0, "usage": {}, "error": None})
    info = {"session/fork": {"id": "f" * 32}}
    with FakeDaemon(home, [Say("hello"), Message(), finished], answers=info) as daemon:
        agentctl(home, "run", "hi")
        assert agentctl(home, "session", "fork", SESSION[:4]).out == "f" * 32 + "\n"
        assert agentctl(home, "session", "fork", SESSION, "--turn", "1", "--title", "t", "--json").document == {"id": "f" * 32}
        agentctl(home, "session", "fork", SESSION, "--at", "4")
        missing = agentctl(home, "session", "fork", SESSION, "--turn", "7")
        assert agentctl(home, "session", "fork", SESSION, "--turn", "1", "--at", "4").code == 2
    asked = daemon.asked("session/fork")
    assert [(params["session"], params["seq"], params["title"]) for params in asked] == [
        (SESSION[:4], None, ""),
        (SESSION, 5, "t"),
        (SESSION, 4, ""),
    ]
    assert len({params["key"] for params in asked}) == 3
    assert (missing.code, missing.err) == (1, "agentctl: error: there is no turn 7: the session has 1 turn\n")


def test_fork_of_a_turn_that_runs(home: Path) -> None:
    """It has no end yet, and the way out is said."""
    with FakeDaemon(home, busy=False) as daemon:
        daemon.inputs = 1
        answer = agentctl(home, "session", "fork", SESSION, "--turn", "1")
    assert answer.code == 1
    assert "turn 1 still runs; without --turn" in answer.err


def test_clean(home: Path) -> None:
    """Never without a condition; a dry run lists and keeps; off a terminal nothing is asked."""
    sessions = FakeSessions()
    pinned, old = sessions.add(pinned=True, title="keep"), sessions.add(title="old")
    with FakeDaemon(home, sessions=sessions):
        usage = agentctl(home, "session", "clean")
        dry = agentctl(home, "session", "clean", "--idle", "30d", "--dry-run")
        assert len(sessions.kept) == 2
        wet = agentctl(home, "session", "clean", "--idle", "30d", "--age", "90d", "--json")
        none = agentctl(home, "session", "clean", "--idle", "30d")
    assert usage.code == 2 and "--idle 30d" in usage.err and "--age 90d" in usage.err
    assert dry.out.startswith(old.info.id) and dry.out.endswith("old\n") and dry.err == "1 session would be erased\n"
    assert [info["id"] for info in wet.document] == [old.info.id]
    assert sessions.calls[-2] == ("session/clean", {"idle": 30 * 86400.0, "age": 90 * 86400.0, "dry_run": False})
    assert none == (0, "", "no session was erased\n")
    assert list(sessions.kept) == [pinned.info.id]


def test_clean_goes_on_until_all_is_gone(home: Path) -> None:
    """The daemon erases so many at once; a dry run says that there are others."""
    sessions = FakeSessions(page=2)
    for _ in range(5):
        sessions.add()
    with FakeDaemon(home, sessions=sessions):
        assert agentctl(home, "session", "clean", "--age", "1d", "--dry-run").err == "2 sessions and others would be erased\n"
        assert agentctl(home, "session", "clean", "--age", "1d", "--yes").err == "5 sessions were erased\n"
    assert sessions.kept == {}


@pytest.mark.parametrize(("typed", "erased"), [(b"yes\n", True), (b"n\n", False)])
def test_clean_asks_at_a_terminal(home: Path, typed: bytes, *, erased: bool) -> None:
    """With the number; anything but yes keeps them."""
    sessions = FakeSessions()
    sessions.add(), sessions.add()
    ours, theirs = pty.openpty()
    with FakeDaemon(home, sessions=sessions):
        process = start(home, "session", "clean", "--age", "1s", stdin=theirs)
        os.write(ours, typed)
        answer = end(process)
    os.close(ours)
    os.close(theirs)
    assert "Erase 2 sessions for good" in answer.err
    assert (answer.code == 0, not sessions.kept) == (erased, erased)


# --- set, get --------------------------------------------------------------------------------------------------------------------


def test_set_and_get(home: Path) -> None:
    """Preferences and variables by name; one as a bare value, all as lines or as a document."""
    sessions = FakeSessions()
    kept = sessions.add()
    which = kept.info.id
    with FakeDaemon(home, sessions=sessions):
        values = ["model=a/b", "max_steps=7", "pinned=true", "var.X=a=b", "instructions=Be\nbrief."]
        assert agentctl(home, "session", "set", which, *values) == (0, "", "")
        assert agentctl(home, "session", "get", which, "pinned").out == "true\n"
        assert agentctl(home, "session", "get", which, "var.X").out == "a=b\n"
        assert agentctl(home, "session", "get", which, "instructions").out == "Be\nbrief.\n"
        lines = agentctl(home, "session", "get", which).out
        document = agentctl(home, "session", "set", which, "--unset", "max_steps", "var.X", "--json").document
        assert agentctl(home, "session", "get", which, "--json").document == document
        assert agentctl(home, "session", "get", which, "max_steps", "--json").document == 0
        gone = agentctl(home, "session", "get", which, "var.X")
    assert lines == "model\ta/b\nmax_steps\t7\ninstructions\tBe brief.\npinned\ttrue\nvar.X\ta=b\n"
    chosen = {"model": "a/b", "max_steps": 0, "instructions": "Be\nbrief.", "pinned": True, "mode": None}
    assert document["preferences"] == chosen
    assert (gone.code, gone.err) == (1, "agentctl: error: the session has no variable X\n")


def test_pin(home: Path) -> None:
    """A shorthand for the preference."""
    sessions = FakeSessions()
    kept = sessions.add()
    with FakeDaemon(home, sessions=sessions):
        agentctl(home, "session", "pin", kept.info.id)
        assert kept.info.pinned
        agentctl(home, "session", "unpin", kept.info.id)
    assert not kept.info.pinned


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("set", "1"), "nothing to set: give NAME=VALUE or --unset NAME; the names are model, max_steps"),
        (("set", "1", "model"), "expected NAME=VALUE, got 'model'"),
        (("set", "1", "modell=x"), "there is no setting 'modell'; did you mean model?"),
        (("set", "1", "TICKET=1"), "there is no setting 'TICKET'; there are model, max_steps"),
        (("set", "1", "--unset", "pined"), "did you mean pinned?"),
        (("set", "1", "pinned=yes"), "pinned: expected true or false, got 'yes'"),
        (("set", "1", "max_steps=many"), "max_steps: expected a whole number"),
        (("set", "1", "var.a-b=1"), "'a-b' is no name for a variable: letters, digits and _"),
        (("get", "1", "maxsteps"), "did you mean max_steps?"),
    ],
)
def test_wrong_settings(home: Path, arguments: tuple[str, ...], complaint: str) -> None:
    """Each says what is known; no daemon is asked."""
    answer = agentctl(home, "session", *arguments)
    assert answer.code == 2
    assert complaint in answer.err
    assert not list(home.iterdir())


# --- export, import --------------------------------------------------------------------------------------------------------------


def test_export_and_import(home: Path) -> None:
    """By way of a pipe or of files, in both formats; the format is what the file's name or --format says."""
    sessions = FakeSessions()
    kept = sessions.add(cwd=str(home))
    kept.messages = [HistoryMessage(role="user", parts=(Text(text="hi"),))]
    with FakeDaemon(home, sessions=sessions):
        piped = agentctl(home, "session", "export", kept.info.id)
        copied = agentctl(home, "session", "import", stdin=piped.out.encode())
        assert sessions.kept[copied.out.strip()].messages == kept.messages
        assert agentctl(home, "session", "export", kept.info.id, "-o", "talk.md") == (0, "", "")
        assert agentctl(home, "session", "export", kept.info.id, "--format", "markdown").out == (home / "talk.md").read_text()
        again = agentctl(home, "session", "export", kept.info.id, "-o", "talk.md")
        forced = agentctl(home, "session", "export", kept.info.id, "-o", "talk.md", "--force")
        made = agentctl(home, "session", "import", "talk.md", "--title", "mine", "--cwd", ".", "--json").document
    assert (again.code, again.err) == (1, "agentctl: error: talk.md exists; --force overwrites it\n")
    assert forced.code == 0
    assert (made["title"], made["cwd"]) == ("mine", str(home))
    assert sessions.kept[made["id"]].messages == kept.messages


def test_import_into_another_place(home: Path) -> None:
    """A directory and a model that do not exist here are replaced, and that is said."""
    document = {"format": "agentd-session", "version": 1, "messages": [], "blobs": {}}
    document |= {"session": {"title": "t", "cwd": "/nowhere/at/all", "model": "gone/x"}}
    document |= {"settings": {"preferences": {}, "variables": {"A": "1"}}}
    sessions = FakeSessions()
    with FakeDaemon(home, sessions=sessions):
        answer = agentctl(home, "session", "import", stdin=json.dumps(document).encode())
    (kept,) = sessions.kept.values()
    assert (answer.out, kept.info.cwd, kept.info.model) == (f"{kept.info.id}\n", str(home), "fake/one")
    assert "/nowhere/at/all does not exist here" in answer.err
    assert "no model provider 'gone'" in answer.err
    assert kept.settings.variables == {"A": "1"}


def test_wrong_files(home: Path) -> None:
    """One line, before anything is asked of the daemon."""
    (home / "x.json").write_text('{"format": ')
    for arguments, complaint in [
        (("x.json",), "x.json: line 1, column 12: this is no JSON"),
        (("y.json",), "No such file or directory: y.json"),
        (("x.json", "--cwd", "/nowhere"), "x.json: line 1"),
    ]:
        answer = agentctl(home, "session", "import", *arguments)
        assert answer.code in (1, 2)
        assert complaint in answer.err and answer.err.count("\n") == 1
    assert [path.name for path in home.iterdir()] == ["x.json"]


def test_an_import_that_fails_leaves_nothing(home: Path) -> None:
    """Neither a failure nor Ctrl-C does."""
    text = b"## User\nhi\n"
    sessions = FakeSessions()
    with FakeDaemon(home, sessions=sessions):
        sessions.refuse["message/add"] = NotFound("the disk has a hole")
        failed = agentctl(home, "session", "import", stdin=text)
    assert (failed.code, sessions.kept) == (1, {})
    assert "the disk has a hole" in failed.err


def test_ctrl_c_in_an_import_leaves_nothing(home: Path) -> None:
    """The half session is deleted over another connection."""
    sessions, arrived, going = FakeSessions(), threading.Event(), threading.Event()
    add = sessions.handlers["message/add"]

    def slow(params: Any) -> Any:
        arrived.set()
        assert going.wait(10)
        return add(params)

    sessions.handlers = {**sessions.handlers, "message/add": slow}
    with FakeDaemon(home, sessions=sessions):
        process = start(home, "session", "import", "-", stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(b"## User\nhi\n")
        process.stdin.close()
        process.stdin = None
        assert arrived.wait(10)
        process.send_signal(signal.SIGINT)
        going.set()
        answer = end(process)
    assert answer == Answer(130, "", "")
    assert sessions.kept == {}
