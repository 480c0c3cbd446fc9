"""Sessions as files: what is written can be read back, whatever was said; what is no session is refused before anything is made."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agentctl.archive import document, files, markdown, to_json
from agentctl.archive.from_markdown import parse
from agentctl.archive.source import Source
from agentctl.archive.target import Target, batches
from agentwire.convert import plain
from agentwire.errors import Conflict, InvalidParams, NotFound, Overloaded, Unreachable
from agentwire.types import HistoryMessage, SessionSettings, Text, ToolCall
from tests.client.histories import contents, histories, names, said, texts, with_blob, with_image
from tests.fakes.sessions import FakeSessions, Kept

PLACE = {"cwd": "/", "environment": {}}


def exported(sessions: FakeSessions, kept: Kept, form: str = "json") -> str:
    pieces: list[str] = []
    files.FORMATS[form](Source(sessions.call, kept.info.id), pieces.append)
    return "".join(pieces)


def imported(sessions: FakeSessions, text: str, name: str = "talk.json") -> Kept:
    found = document.read(text.encode(), name)
    info = Target(found, found.title, PLACE).fill(sessions.call)
    return sessions.kept[info["id"]]


def without_identity(text: str) -> dict[str, Any]:
    """An export but for ids and times."""
    value: dict[str, Any] = json.loads(text)
    for name in ("id", "created_at", "updated_at", "parent"):
        del value["session"][name]
    return value


# --- JSON ------------------------------------------------------------------------------------------------------------------------


@given(
    messages=histories,
    blobs=st.lists(contents, max_size=3),
    title=texts.map(lambda text: text[:100]).filter(bool),
    variables=st.dictionaries(st.sampled_from(["A", "b_2"]), texts, max_size=2),
    pinned=st.booleans(),
    page=st.integers(1, 4),
)
def test_what_is_exported_comes_back(
    messages: list[HistoryMessage], blobs: list[bytes], title: str, variables: dict[str, str], *, pinned: bool, page: int
) -> None:
    """export(import(export(x))) is export(x) but for ids and times: calls, thoughts, blobs, settings and every character."""
    sessions = FakeSessions(page=page)
    kept = sessions.add(title=title, pinned=pinned)
    whole = [*messages, *map(with_blob, blobs)]
    kept.messages = whole
    kept.blobs = {message.parts[0].parts[0].blob: content for message, content in zip(whole[len(messages) :], blobs, strict=True)}  # type: ignore[union-attr]
    chosen = evolve(kept.settings.preferences, instructions=title, max_steps=3)
    kept.settings = SessionSettings(preferences=chosen, variables=variables)
    first = exported(sessions, kept)
    copy = imported(sessions, first)
    assert without_identity(exported(sessions, copy)) == without_identity(first)
    assert copy.info.id != kept.info.id


def test_the_document() -> None:
    """Format 1, as docs/cli.md has it: a message a line, blobs by their names."""
    sessions = FakeSessions()
    kept = sessions.add(title="a talk", parent="p")
    kept.messages, kept.blobs = [HistoryMessage(role="user", parts=(Text(text="hé"),)), with_blob(b"abcd")], {}
    kept.blobs[kept.messages[1].parts[0].parts[0].blob] = b"abcd"  # type: ignore[union-attr]
    text = exported(sessions, kept)
    value = json.loads(text)
    assert json.loads(text.split("\n")[4].rstrip(",")) == value["messages"][0]
    assert "hé" in text
    assert (value["format"], value["version"]) == ("agentd-session", 1)
    assert value["session"] == {name: getattr(kept.info, name) for name in to_json.INFO}
    assert value["settings"] == plain(kept.settings)
    assert list(value["blobs"].values()) == [{"bytes": 4, "data": "YWJjZA=="}]


@pytest.mark.parametrize("form", ["json", "markdown"])
def test_images(form: str) -> None:
    """JSON has their contents; Markdown says that there was one."""
    sessions = FakeSessions()
    kept = sessions.add()
    kept.messages = [with_image(b"\x89PNG")]
    kept.blobs = {kept.messages[0].parts[1].blob: b"\x89PNG"}  # type: ignore[union-attr]
    copy = imported(sessions, exported(sessions, kept, form), f"talk.{'json' if form == 'json' else 'md'}")
    if form == "json":
        assert (copy.messages, copy.blobs) == (kept.messages, kept.blobs)
    else:
        assert copy.messages[0].parts[1] == Text(text="[image, image/png, 4 bytes]")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": "x"}, 'this is JSON, but no exported session: "format" should be "agentd-session"'),
        ({"version": 2}, "version: the file has version 2, this agentctl reads version 1"),
        ({"version": "1"}, 'version: expected 1, got "1"'),
        ({"session": []}, "session: expected an object"),
        ({"session": {"title": 5}}, "session.title: expected a string"),
        ({"messages": {}}, "messages: expected a list"),
        (
            {"messages": [{"role": "user", "parts": [{"kind": "text", "text": 5}]}]},
            "messages[0].parts[0].text: expected a string, got 5",
        ),
        (
            {"messages": [{"role": "boss", "parts": []}]},
            "messages[0].role: expected one of 'user', 'assistant', 'tool', got 'boss'",
        ),
        ({"messages": [{"role": "user", "parts": [{"kind": "x"}]}]}, "messages[0].parts[0]: is of no known kind"),
        (
            {"messages": [{"role": "user", "parts": [{"kind": "reasoning", "text": ""}]}]},
            "messages[0].parts[0]: a message of role user holds no reasoning",
        ),
        ({"messages": [{"role": "user", "parts": []}]}, "messages[0].parts: must not be empty"),
        ({"messages": [plain(with_blob(b"a"))]}, "messages[0]: refers to blob ca978112ca1b, which is not under blobs"),
        (
            {"settings": {"preferences": {"pinned": 1}, "variables": {}}},
            "settings.preferences.pinned: expected true or false, got 1",
        ),
        ({"blobs": {"f" * 64: {"bytes": 1, "data": "YQ=="}}}, "blobs.ffffffffffff: the content is damaged"),
        ({"blobs": {"f" * 64: {"bytes": 1, "data": "Y?"}}}, "blobs.ffffffffffff.data: this is no base64"),
        ({"blobs": {"f" * 64: 7}}, "blobs.ffffffffffff: expected"),
    ],
)
def test_wrong_documents(change: dict[str, Any], complaint: str) -> None:
    """The file, the path of the field, what was expected; and that nothing was done."""
    sessions = FakeSessions()
    text = json.dumps({**json.loads(exported(sessions, sessions.add())), **change})
    with pytest.raises(InvalidParams) as caught:
        document.read(text.encode(), "talk.json")
    assert caught.value.message.startswith(f"talk.json: {complaint}")
    assert caught.value.message.endswith("; nothing was imported")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "x.json is empty"),
        (b"\xff\xfe", "x.json is no text: byte 0 is not UTF-8"),
        (b'{"format": "agentd-session",\n "version" 1}', "x.json: line 2, column 12: this is no JSON (Expecting ':' delimiter)"),
        (b"[" * 100_000, "x.json: this JSON cannot be read"),
        (b"[]", "x.json: this is JSON, but no exported session"),
        (b"hello", "x.json: no conversation found: each message wants a heading"),
    ],
)
def test_what_is_no_document(data: bytes, complaint: str) -> None:
    """Any other file is told from an export, with the place where it goes wrong."""
    with pytest.raises(InvalidParams) as caught:
        document.read(data, "x.json")
    assert caught.value.message.startswith(complaint)


# --- Markdown --------------------------------------------------------------------------------------------------------------------


@given(messages=histories, title=texts)
def test_markdown_comes_back(messages: list[HistoryMessage], title: str) -> None:
    """What was said comes back to the character, with calls and results; only signatures are left out."""
    sessions = FakeSessions(page=2)
    kept = sessions.add(title=title, cwd="/a folder")
    kept.messages = messages
    found = parse(exported(sessions, kept, "markdown"))
    assert (found.title, found.cwd, found.model) == (title, "/a folder", "fake/one")
    wanted: list[dict[str, Any]] = [plain(message) for message in messages]
    for message in wanted:
        for part in message["parts"]:
            part.pop("vendor", None)
            message["parts"] = list(message["parts"])
    for message in found.messages:
        for part in message["parts"]:
            part.pop("vendor", None)
    assert json.loads(json.dumps(wanted)) == found.messages


@given(names, texts)
def test_fences_hold(label: str, text: str) -> None:
    """No text ends the block it stands in."""
    opening, body, closing = markdown.fenced([(text, "json")])
    assert opening == f"{closing}json" and set(closing) == {"`"}
    assert closing not in text and markdown.unescaped(body) == text


def test_markdown_reads_well() -> None:
    """A title, a heading for each message, calls and results in blocks."""
    sessions = FakeSessions()
    kept = sessions.add(title="Sums")
    call = ToolCall(id="c", name="add", arguments_json='{"a": 2}')
    kept.messages = [
        HistoryMessage(role="user", parts=(Text(text="2 + 2?"),)),
        HistoryMessage(role="assistant", parts=(Text(text="I add."), call)),
        with_blob(b"```\nlong"),
    ]
    shown = [line for line in exported(sessions, kept, "markdown").split("\n") if line and not line.startswith("<!--")]
    assert shown == [
        "# Sums",
        "## User",
        "2 + 2?",
        "## Assistant",
        "I add.",
        "**Call** `add`",
        "```json",
        '{"a": 2}',
        "```",
        "## Tool results",
        "**Result**",
        "````text (the beginning of 8 bytes)",
        "```",
        "long",
        "````",
        "```text",
        "and more",
        "```",
    ]


def test_an_editor_that_changes_line_ends() -> None:
    """An export that came through another system is read all the same."""
    sessions = FakeSessions()
    kept = sessions.add()
    kept.messages = [HistoryMessage(role="user", parts=(Text(text="a\nb\n"),))]
    text = exported(sessions, kept, "markdown").replace("\n", "\r\n")
    assert said(parse(text).messages) == [("user", ["a\nb\n"])]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("<!-- agentd:end -->", "", "line 9: what begins here has no end"),
        ('"version": 1', '"version": 9', "line 1: the file has version 9"),
        ('{"version"', '{version"', "line 1: this mark is damaged"),
        ("<!-- agentd:user -->", "", "line 9: a text outside of any message"),
        ("agentd:text", "agentd:song", "line 9: there is no such mark as song"),
        ("<!-- agentd:text -->", "<!-- agentd:tool_call -->", "line 9: this tool_call is damaged"),
        ("hi", "```\nhi", None),
    ],
)
def test_damaged_markdown(old: str, new: str, complaint: str | None) -> None:
    """An export that was edited by hand says where it is broken."""
    sessions = FakeSessions()
    kept = sessions.add()
    kept.messages = [HistoryMessage(role="user", parts=(Text(text="hi"),))]
    text = exported(sessions, kept, "markdown").replace(old, new)
    if complaint is None:
        assert said(parse(text).messages) == [("user", ["```\nhi"])]
        return
    with pytest.raises(InvalidParams) as caught:
        parse(text)
    assert caught.value.message.startswith(complaint)


def test_anybodys_markdown() -> None:
    """Headings of one level with a speaker's name; code and deeper headings belong to the message."""
    text = (
        "\ufeff# My talk\n\nsome words before\n\n## You\n\nhello\n\n```md\n## Assistant\n```\n### User\nstill me\r\n"
        "## **Assistant:**\nhi\n\n## Assistant ##\n\nagain\n## User\n\n"
    )
    found = document.read(text.encode(), "talk.md")
    assert found.title == "My talk"
    assert said(list(found.messages)) == [  # type: ignore[arg-type]
        ("user", ["hello\n\n```md\n## Assistant\n```\n### User\nstill me"]),
        ("assistant", ["hi\n\n\nagain"]),
    ]
    assert document.read(b"## User\nfirst line\nsecond", "x").title == "first line"


# --- bringing it in --------------------------------------------------------------------------------------------------------------


def test_the_title_says_that_it_is_not_whole_yet() -> None:
    """Until the last piece is there; each piece is under 1 MiB and has a key of its own."""
    sessions = FakeSessions()
    text = "x" * 300_000
    messages = [plain(HistoryMessage(role="user", parts=(Text(text=text),))) for _ in range(5)]
    info = Target(document.Document(title="t", messages=messages), "t", PLACE).fill(sessions.call)
    created = sessions.calls[0][1]
    added = [params for method, params in sessions.calls if method == "message/add"]
    assert (created["title"], info["title"]) == ("importing: t", "t")
    assert [len(params["messages"]) for params in added] == [2, 2, 1]
    assert len({params["key"] for params in [created, *added]}) == 4
    assert all(len(json.dumps(params)) < 1024 * 1024 for params in added)


def test_portions() -> None:
    """In order, nothing left out; what is too long goes alone."""
    small, large = {"parts": "x"}, {"parts": "x" * 2_000_000}
    assert list(batches([small, large, small, small])) == [[small], [large], [small, small]]
    assert [len(batch) for batch in batches([small] * 1200)] == [500, 500, 200]
    assert list(batches([])) == []


def test_a_model_that_does_not_exist_here() -> None:
    """The session is made with the default model, and says why."""
    sessions = FakeSessions()
    target = Target(document.Document(title="t", model="gone/x", messages=[]), "t", PLACE)
    assert target.fill(sessions.call)["model"] == "fake/one"
    assert "no model provider 'gone'" in target.model_refused


@pytest.mark.parametrize("error", [Conflict("begin again"), Overloaded("others", retry_after=0.0)])
def test_a_blob_is_begun_again(error: Exception) -> None:
    """A daemon that restarted in the middle of a blob, or has too many, is given it once more."""
    sessions = FakeSessions()
    kept = sessions.add()
    content = b"y" * 600_000
    kept.messages, kept.blobs = [with_blob(content)], {}
    kept.blobs[kept.messages[0].parts[0].parts[0].blob] = content  # type: ignore[union-attr]
    text = exported(sessions, kept)
    sessions.refuse["blob/put"] = error
    assert imported(sessions, text).blobs == kept.blobs


@pytest.mark.parametrize("method", ["session/create", "message/add", "session/rename"])
def test_discard(method: str) -> None:
    """Nothing is left of an import that failed, wherever it did; also if it is not known whether the session was made."""
    sessions = FakeSessions()
    messages = [plain(HistoryMessage(role="user", parts=(Text(text="hi"),)))]
    target = Target(document.Document(title="t", messages=messages), "t", PLACE)
    sessions.refuse[method] = Unreachable("gone")
    with pytest.raises(Unreachable):
        target.fill(sessions.call)
    target.discard(sessions.call)
    assert sessions.kept == {}


# --- files -----------------------------------------------------------------------------------------------------------------------


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    """Nothing is overwritten without being asked, nothing half written is left."""
    sessions = FakeSessions()
    source = Source(sessions.call, sessions.add().info.id)
    path = tmp_path / "talk.json"
    assert not files.taken(str(path))
    files.save(source, str(path), "json", force=False)
    assert files.taken(str(path))
    path.write_text("mine")
    with pytest.raises(Conflict, match="exists already"):
        files.save(source, str(path), "json", force=False)
    assert path.read_text() == "mine"
    sessions.refuse["message/list"] = NotFound("gone")
    with pytest.raises(NotFound):
        files.save(source, str(path), "json", force=True)
    assert path.read_text() == "mine"
    link = tmp_path / "link.json"
    link.symlink_to(path)
    files.save(source, str(link), "json", force=True)
    assert link.is_symlink() and json.loads(path.read_text())["version"] == 1
    assert sorted(os.listdir(tmp_path)) == ["link.json", "talk.json"]


def test_errors_name_the_file(tmp_path: Path) -> None:
    """Not the draft that it is written to first."""
    sessions = FakeSessions()
    source = Source(sessions.call, sessions.add().info.id)
    with pytest.raises(Conflict, match="is a directory; name a file in it"):
        files.save(source, str(tmp_path), "json", force=True)
    with pytest.raises(OSError, match="No such file") as caught:
        files.save(source, str(tmp_path / "none/talk.json"), "json", force=True)
    assert caught.value.filename == str(tmp_path / "none/talk.json")


def test_devices_are_written_to() -> None:
    """A pipe or device is not replaced by a file."""
    sessions = FakeSessions()
    assert not files.taken("/dev/null")
    files.save(Source(sessions.call, sessions.add().info.id), "/dev/null", "json", force=True)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize(("name", "form"), [("a.md", "markdown"), ("A.MARKDOWN", "markdown"), ("a.json", "json"), ("a", "json")])
def test_format_by_name(name: str, form: str) -> None:
    """The ending says it."""
    assert files.format_of(name) == form
