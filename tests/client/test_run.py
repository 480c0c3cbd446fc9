"""`agentctl run` against a scripted daemon: what it prints, what it survives, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agentwire import errors
from tests.client.cli import Answer, agentctl, end, start
from tests.fakes.daemon_server import SESSION, Act, Die, FakeDaemon, Finish, Lag, Log, Message, Say, Until, denied

HELLO: list[Act] = [Say("hel"), Say("lo"), Finish()]


def run(home: Path, turn: Sequence[Act], *arguments: str, stdin: bytes | None = None, **options: Any) -> tuple[Answer, FakeDaemon]:
    with FakeDaemon(home, turn, **options) as daemon:
        return agentctl(home, "run", *arguments, stdin=stdin), daemon


def said(daemon: FakeDaemon) -> str:
    (prompt,) = daemon.asked("session/prompt")
    return str(prompt["parts"][0]["text"])


def test_text_on_stdout_and_nothing_else(home: Path) -> None:
    """The answer and a newline; stderr is silent; exit 0."""
    answer, daemon = run(home, HELLO, "say", "hello")
    assert answer == (0, "hello\n", "")
    assert said(daemon) == "say hello"


@pytest.mark.parametrize(
    ("arguments", "stdin", "prompt"),
    [
        ((), b"from a pipe\n", "from a pipe"),
        (("review", "this"), b"diff\n", "review this\n\ndiff"),
        (("a", "-q", "b", "--", "-c", "d"), b"", "a b -c d"),
        (("--", "--help"), b"", "--help"),
        (("words",), b"\xff", "words\n\n�"),
    ],
)
def test_prompt_from_words_and_stdin(home: Path, arguments: tuple[str, ...], stdin: bytes, prompt: str) -> None:
    """Words first, then standard input; options may stand between words, and nothing is an option after --."""
    answer, daemon = run(home, HELLO, *arguments, stdin=stdin)
    assert (answer.code, said(daemon)) == (0, prompt)


def test_no_prompt_is_a_usage_error(home: Path) -> None:
    """Exit 2, before anything is asked of the daemon."""
    answer, daemon = run(home, HELLO, stdin=b" \n")
    assert answer.code == 2
    assert "there is no prompt" in answer.err
    assert not daemon.requests


def test_json_document(home: Path) -> None:
    """One document with the fields that scripts of other agents know."""
    answer, _ = run(home, HELLO, "hi", "--output-format", "json")
    usage = {"input": 2, "output": 3, "cached": 0, "reasoning": 0}
    assert answer.document == {
        "type": "result",
        "is_error": False,
        "result": "hello",
        "session_id": SESSION,
        "usage": usage,
        "cost": 0.0125,
        "num_turns": 1,
        "permission_denials": [],
    }


def test_stream_of_json(home: Path) -> None:
    """The session, every event as it is on the wire, the document last."""
    answer, _ = run(home, HELLO, "hi", "--output-format", "stream-json")
    first, *events, last = answer.lines
    assert (first["type"], first["session_id"], last["type"], last["result"]) == ("session", SESSION, "result", "hello")
    kinds = ["input_accepted", "turn_started", "delta", "delta", "assistant_message", "turn_finished"]
    assert [event["kind"] for event in events] == kinds


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("auth_failed", 41),
        ("unauthorized", 41),
        ("budget_exceeded", 6),
        ("turn_limit", 53),
        ("deadline_exceeded", 124),
        ("provider_down", 1),
        ("from_the_future", 1),
    ],
)
def test_failed_turn(home: Path, error: str, code: int) -> None:
    """What was said stays on stdout, one line on stderr says why, and the exit code names the cause."""
    answer, _ = run(home, [Say("half"), Finish("failed", error)], "hi")
    assert answer == (code, "half\n", f"agentctl: error: it failed with {error}\n")


@pytest.mark.parametrize(("error", "hint"), [("rate_limited", ". Try again in 1 h 5 min."), ("provider_down", "")])
def test_when_to_come_back(home: Path, error: str, hint: str) -> None:
    """If it is known of a host that has too much to do; what is down may work at once."""
    answer, _ = run(home, [Finish("failed", error, after=3899.5)], "hi")
    assert answer == (1, "", f"agentctl: error: it failed with {error}{hint}\n")


def test_failed_turn_as_json(home: Path) -> None:
    """The document says that it is an error and which; the exit code is the same."""
    answer, _ = run(home, [Finish("failed", "auth_failed")], "hi", "--output-format", "json")
    assert answer.code == 41
    assert answer.document["is_error"]
    assert answer.document["error"]["code"] == "auth_failed"


def test_denied_call(home: Path) -> None:
    """The turn went on and ended well, and still a script can see that something was denied: exit 4, named in both forms."""
    turn: list[Act] = [Say("I write."), *denied("write"), Say("I could not."), Finish(denials=1)]
    answer, _ = run(home, turn, "hi")
    assert (answer.code, answer.out) == (4, "I write.\nI could not.\n")
    assert "a tool call was denied (write): no rule allows it. Allow it with --allow RULE" in answer.err


def test_denied_call_as_json(home: Path) -> None:
    """Not an error, but a list of what was denied."""
    answer, _ = run(home, [*denied("write"), Say("no"), Finish(denials=1)], "hi", "--output-format", "json")
    assert (answer.code, answer.document["is_error"]) == (4, False)
    assert answer.document["permission_denials"] == [
        {"tool_name": "write", "tool_use_id": "c1", "tool_input": {"path": "x"}, "reason": "denied: no rule allows it"}
    ]


def test_interrupted_turn(home: Path) -> None:
    """A turn that ended without getting done is an error."""
    answer, _ = run(home, [Say("half"), Finish("interrupted")], "hi")
    assert answer == (1, "half\n", "agentctl: error: the turn was interrupted\n")


# --- a daemon that dies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [0, 3])
def test_death_in_the_middle(home: Path, split: int) -> None:
    """The turn is followed to its end in the next boot: every word once, the seam on stderr, exit 0."""
    answer, daemon = run(home, [Say("one "), Die(), Say("two"), Finish()], "count", split=split)
    assert (answer.code, answer.out) == (0, "one two\n")
    assert "lost and found" in answer.err
    assert len(daemon.asked("session/prompt")) == 1


def test_death_loses_what_was_shown(home: Path) -> None:
    """Text that was shown and not saved is not printed again when it comes again."""
    turn: list[Act] = [Say("one two"), Die(lost=3), Say("two three"), Finish()]
    answer, _ = run(home, turn, "count")
    assert answer.out == "one two three\n"
    document, _ = run(home, turn, "count", "--output-format", "json")
    assert document.document["result"] == "one two three"


def test_death_with_a_draft(home: Path) -> None:
    """The server's draft replaces ours."""
    answer, _ = run(home, [Say("one two"), Die(lost=3, saved=False), Say("two three"), Finish()], "count")
    assert answer.out == "one two three\n"


def test_many_deaths(home: Path) -> None:
    """As long as something new comes between, the turn is followed."""
    answer, _ = run(home, [act for word in "abcdefgh" for act in (Say(word), Die())] + [Finish()], "spell")
    assert (answer.code, answer.out) == (0, "abcdefgh\n")


@pytest.mark.parametrize("method", ["session/create", "session/prompt"])
def test_lost_reply_has_no_second_effect(home: Path, method: str) -> None:
    """A request whose reply got lost is sent again with the same key and parameters."""
    answer, daemon = run(home, HELLO, "hi", lose=[method])
    assert (answer.code, answer.out) == (0, "hello\n")
    first, second = daemon.asked(method)
    assert first == second
    assert first["key"]
    assert daemon.inputs == 1


def test_lagging_client_watches_again(home: Path) -> None:
    """A watch that was closed because we were slow is taken up with what was missed."""
    answer, _ = run(home, [Say("one "), Lag("two "), Say("three"), Finish()], "count")
    assert (answer.code, answer.out) == (0, "one two three\n")


# --- the user --------------------------------------------------------------------------------------------------------------------


def test_ctrl_c_cancels_the_turn(home: Path) -> None:
    """Exit 130, the turn is cancelled and its end awaited; what was shown is not shown twice."""
    with FakeDaemon(home, [Say("one "), Until("session/cancel"), Finish("cancelled")]) as daemon:
        process = start(home, "run", "hi")
        assert process.stdout is not None
        assert process.stdout.read(4) == b"one "
        process.send_signal(signal.SIGINT)
        answer = end(process)
    assert answer == (130, "\n", "interrupted: the turn is cancelled\n")
    assert daemon.asked("session/cancel") == [{"session": SESSION}]


def test_ctrl_c_as_json(home: Path) -> None:
    """The document is still there, with what had been said."""
    with FakeDaemon(home, [Say("one"), Message("interrupted"), Until("session/cancel"), Finish("cancelled")]) as daemon:
        process = start(home, "run", "hi", "--output-format", "stream-json")
        assert process.stdout is not None
        while b"assistant_message" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        answer = end(process)
    last = answer.lines[-1]
    assert (answer.code, last["is_error"], last["result"], last["error"]["code"]) == (130, True, "one", "interrupted")
    assert daemon.asked("session/cancel")


def test_reader_that_leaves(home: Path) -> None:
    """`| head` ends the program quietly, as it ends any other; the turn is the daemon's."""
    with FakeDaemon(home, [Say("one "), Until("model/list"), *[Say("x" * 1000) for _ in range(20)], Finish()]) as daemon:
        process = start(home, "run", "hi")
        assert process.stdout is not None
        process.stdout.read(4)
        process.stdout.close()
        agentctl(home, "model", "list")
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(30) == 141
        process.stderr.close()
    assert not daemon.asked("session/cancel")


def test_queued_prompt_waits_for_its_turn(home: Path) -> None:
    """On a busy session the prompt waits and its own answer is printed."""
    answer, _ = run(home, HELLO, "-s", SESSION[:4], "hi", busy=True)
    assert answer == (0, "hello\n", "")


def test_continue_takes_the_newest_session_of_this_directory(home: Path) -> None:
    """-c asks for one session of the working directory and prompts it, with the model for this prompt only."""
    answer, daemon = run(home, HELLO, "-c", "--model", "fake/two", "hi")
    assert answer.code == 0
    assert daemon.asked("session/list") == [{"cwd": str(home), "limit": 1}]
    assert not daemon.asked("session/create")
    assert daemon.asked("session/prompt")[0]["model"] == "fake/two"


def test_nothing_to_continue(home: Path) -> None:
    """-c where there is no session says so and how to begin one."""
    answer, _ = run(home, HELLO, "-c", "hi", answers={"session/list": {"sessions": [], "cursor": ""}})
    assert answer.code == 1
    assert "leave out -c" in answer.err


def test_new_session_takes_what_tools_need(home: Path) -> None:
    """A session gets the directory and an allow-listed environment, never a key; a prompt of a run is not interactive."""
    with FakeDaemon(home, HELLO) as daemon:
        agentctl(home, "run", "hi", "--max-turns", "3", "--max-budget", "$0.25", OPENAI_API_KEY="sk-secret", VIRTUAL_ENV="/venv")
    (created,), (prompted,) = daemon.asked("session/create"), daemon.asked("session/prompt")
    assert created["cwd"] == str(home)
    assert created["environment"]["VIRTUAL_ENV"] == "/venv"
    assert "sk-secret" not in str(daemon.requests)
    assert (prompted["interactive"], prompted["max_steps"], prompted["max_cost"]) == (False, 3, 0.25)


def test_permissions_for_a_run(home: Path) -> None:
    """The mode and the rules are the session's before the prompt is sent."""
    answers: dict[str, Any] = {"session/set": {"preferences": {}, "variables": {}}, "permission/add": {}}
    rules = ["--allow", "shell(make *)", "--allow", "read", "--deny", "fetch"]
    answer, daemon = run(home, HELLO, "hi", "--mode", "plan", *rules, answers=answers)
    assert answer.code == 0
    (chosen,) = daemon.asked("session/set")
    assert chosen["preferences"] == {"mode": "plan"}
    added = [(asked["verdict"], asked["rule"], asked["session"]) for asked in daemon.asked("permission/add")]
    session = chosen["session"]
    assert added == [("deny", "fetch", session), ("allow", "shell(make *)", session), ("allow", "read", session)]
    order = [method for method, _ in daemon.requests]
    assert order.index("permission/add") < order.index("session/prompt")


def test_different_environment_is_one_warning(home: Path) -> None:
    """The variables are named with the way to make them count; -q is silent."""
    differs = {"environment_differs": ["OPENAI_API_KEY", "LOG_LEVEL"], "notice": "a small model"}
    answer, _ = run(home, HELLO, "hi", initialized=differs)
    assert answer.err.count("\n") == 1
    assert "OPENAI_API_KEY, LOG_LEVEL" in answer.err
    assert "agentctl daemon restart" in answer.err
    assert run(home, HELLO, "hi", "-q", initialized=differs)[0].err == ""


REFUSALS = [
    (errors.StorageFull("the disk is full"), 1),
    (errors.Denied("not you"), 4),
    (errors.Overloaded("busy", retry_after=3.0), 1),
]


@pytest.mark.parametrize(("error", "code"), REFUSALS)
def test_refused_prompt(home: Path, error: errors.AgentError, code: int) -> None:
    """An error before the turn is one line on stderr and a document with --output-format json."""
    answer, _ = run(home, HELLO, "hi", "--output-format", "json", answers={"session/prompt": error})
    assert (answer.code, answer.err) == (code, f"agentctl: error: {error.message}\n")
    assert answer.document["error"]["code"] == error.code
    assert answer.document["error"].get("retry_after") == error.retry_after


def test_without_a_command_a_pipe_is_a_run(home: Path) -> None:
    """`echo hi | agentctl` answers."""
    with FakeDaemon(home, HELLO) as daemon:
        answer = agentctl(home, stdin=b"hi\n")
    assert answer == (0, "hello\n", "")
    assert said(daemon) == "hi"


def test_closed_stdin(home: Path) -> None:
    """A program started with no standard input at all (cron, a daemon) still runs its words."""
    with FakeDaemon(home, HELLO):
        process = subprocess.run(
            ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "agentctl", "run", "hi"],
            env={**os.environ, "AGENTD_HOME": str(home)},
            capture_output=True,
            check=False,
        )
    assert (process.returncode, process.stdout) == (0, b"hello\n")


# --- what goes with a prompt ------------------------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
STORED = {"blob/put": {"received": 1}}


def test_attached_files_are_put_before_the_prompt(home: Path, tmp_path: Path) -> None:
    """By what they are, whatever they are called; a long one in pieces."""
    files = {"chart.txt": PNG, "paper": b"%PDF-1.7 " + bytes(300_000), "notes.md": b"# hi", "do": b"ls", "alt.txt": b"\xfcber"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    arguments = [word for name in files for word in ("--attach", str(tmp_path / name))]
    answer, daemon = run(home, HELLO, "what is it?", *arguments, answers=STORED)
    assert answer.code == 0
    (prompt,) = daemon.asked("session/prompt")
    assert [(part["kind"], part.get("media"), part.get("name")) for part in prompt["parts"]] == [
        ("text", None, None),
        ("image", "image/png", None),
        ("file", "application/pdf", "paper"),
        ("file", "text/markdown", "notes.md"),
        ("file", "text/plain", "do"),
        ("file", "text/plain", "alt.txt"),
    ]
    assert [piece["offset"] for piece in daemon.asked("blob/put")] == [0, 0, 262_144, 0, 0, 0]
    assert [name for name, _ in daemon.requests][-1] == "session/prompt"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "is no file"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (os.mkfifo, "is no file"),
        (lambda path: path.write_bytes(b"\x00\xff"), "is not an image (PNG, JPEG, WebP, GIF), a PDF or a text"),
    ],
)
def test_what_cannot_be_attached(home: Path, tmp_path: Path, make: Any, said: str) -> None:
    """One sentence, exit 2, and nothing is asked of the daemon."""
    make(tmp_path / "x")
    answer, daemon = run(home, HELLO, "hi", "--attach", str(tmp_path / "x"))
    assert answer.code == 2
    assert said in answer.err
    assert not daemon.requests


@pytest.mark.parametrize(("name", "content"), [("a.zip", b"PK\3\4\xff"), ("a.txt", b"\xff\xfea\0"), ("a.heic", b"\0\0\0\x18ftyp")])
def test_what_no_model_takes(home: Path, tmp_path: Path, name: str, content: bytes) -> None:
    """Whatever its name says: it is told what would do."""
    (tmp_path / name).write_bytes(content)
    answer, daemon = run(home, HELLO, "hi", "--attach", str(tmp_path / name))
    assert (answer.code, daemon.requests) == (2, [])
    assert f"{name} cannot be attached: it is not an image (PNG, JPEG, WebP, GIF), a PDF or a text" in answer.err


def test_what_a_model_cannot_be_shown_is_said(home: Path, tmp_path: Path) -> None:
    """Beside the answer: which model, and what it is told instead."""
    (tmp_path / "chart.png").write_bytes(PNG)
    info = {"id": "fake/one", "capabilities": ["tools"], "known": False}
    answers = {**STORED, "model/resolve": {"model": "fake/one", "models": [info]}}
    answer, daemon = run(home, HELLO, "what is it?", "--attach", str(tmp_path / "chart.png"), answers=answers)
    assert (answer.code, answer.out) == (0, "hello\n")
    assert 'fake/one takes no images (if it does, set images = true under [parameters."fake/one"])' in answer.err
    assert "it is told that chart.png is there" in answer.err
    assert daemon.asked("model/resolve") == [{"model": "fake/one"}]


def test_what_a_bare_name_became_is_said(home: Path) -> None:
    """It may have been meant as an alias."""
    answer, daemon = run(home, HELLO, "hi", "--model", "new", answers={"model/resolve": {"model": "fake/new", "models": []}})
    assert (answer.code, answer.out) == (0, "hello\n")
    assert "new is no alias: this is the model fake/new" in answer.err
    answer, daemon = run(home, HELLO, "hi", "--model", "fake/new")
    assert (answer.err, daemon.asked("model/resolve")) == ("", [])


def test_answer_by_a_schema(home: Path, tmp_path: Path) -> None:
    """The schema goes with the prompt; of two answers only the one that counts is on stdout."""
    (tmp_path / "s.json").write_text('{"type": "object"}')
    rejected = Log("answer_rejected", {"turn": 1, "reason": "Your answer is not valid"})
    turn: list[Act] = [Say("seven"), Message(), rejected, Say('{"age": 7}'), Finish()]
    answer, daemon = run(home, turn, "how old?", "--json-schema", str(tmp_path / "s.json"))
    assert (answer.code, answer.out) == (0, '{"age": 7}\n')
    assert "asked again" in answer.err
    assert daemon.asked("session/prompt")[0]["schema"] == {"type": "object"}


@pytest.mark.parametrize(("text", "said"), [("{", "is no JSON"), ("[]", "expected an object"), (None, "No such file")])
def test_no_schema(home: Path, tmp_path: Path, text: str | None, said: str) -> None:
    """Exit 2, before anything is asked of the daemon."""
    if text is not None:
        (tmp_path / "s.json").write_text(text)
    answer, daemon = run(home, HELLO, "hi", "--json-schema", str(tmp_path / "s.json"))
    assert answer.code == 2
    assert said in answer.err
    assert not daemon.requests


@pytest.mark.parametrize(
    ("arguments", "created", "prompted"),
    [
        (("--fallback-model", "b/y,c/z"), "fake/one,b/y,c/z", ""),
        (("--model", "a/x", "--fallback-model", "b/y, a/x"), "a/x,b/y", ""),
        (("-s", SESSION, "--fallback-model", "b/y"), None, "fake/one,b/y"),
    ],
)
def test_fallback_models(home: Path, arguments: tuple[str, ...], created: str | None, prompted: str) -> None:
    """Behind the model that is asked first, whoever chose that; each once."""
    answer, daemon = run(home, HELLO, "hi", *arguments)
    assert answer.code == 0
    assert [params["model"] for params in daemon.asked("session/create")] == ([] if created is None else [created])
    assert daemon.asked("session/prompt")[0]["model"] == prompted


def test_who_answers_and_what_is_waited_for(home: Path) -> None:
    """Both are remarks for -v; with an alias nobody would know otherwise."""
    waits = {"turn": 1, "step": 0, "model": "b/y", "seconds": 7.5, "reason": "rate limited"}
    answer, _ = run(home, [Log("model_waits", waits), *HELLO], "hi", "-v", "-s", SESSION, "--model", "fast")
    assert answer.out == "hello\n"
    assert "waiting 7.5 s for b/y: rate limited" in answer.err
    assert "answered by fake/one" in answer.err
    assert "answered by" not in run(home, HELLO, "hi", "-v")[0].err
