"""What an import begins with: a file's content, checked as a whole before anything is created."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import Factory, frozen

from agentctl.archive import from_markdown
from agentctl.archive.source import blobs_of
from agentctl.archive.to_json import FORMAT, VERSION
from agentwire.convert import plain, structure
from agentwire.errors import InvalidParams
from agentwire.types import HistoryMessage, SessionSettings

_MAY_HOLD = {
    "user": {"text", "image", "file"},
    "assistant": {"text", "reasoning", "tool_call", "citation"},
    "tool": {"tool_result"},
}
_UNCHANGED = "nothing was imported"


@frozen(kw_only=True)
class Document:
    """A session to be. `messages`, `preferences` and `variables` as they go over the wire; `blobs`: base64 by sha256."""

    title: str
    cwd: str = ""
    model: str = ""
    messages: Sequence[Mapping[str, Any]]
    preferences: Mapping[str, Any] = Factory(dict)
    variables: Mapping[str, str] = Factory(dict)
    blobs: Mapping[str, str] = Factory(dict)


def read(data: bytes, name: str) -> Document:
    """The document in a file called `name`. Raises InvalidParams with the place and what is wrong there."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidParams(f"{name} is no text: byte {error.start} is not UTF-8; {_UNCHANGED}") from None
    if not text.strip():
        raise InvalidParams(f"{name} is empty; `agentctl session export` writes what can be imported")
    try:
        if name.endswith((".md", ".markdown")) or not text.lstrip().startswith(("{", "[")):
            return _of_markdown(text)
        return _of_json(text)
    except InvalidParams as error:
        raise InvalidParams(f"{name}: {error.message}; {_UNCHANGED}") from None


def _of_markdown(text: str) -> Document:
    found = from_markdown.parse(text)
    messages = [plain(_message(message, f"message {number}")) for number, message in enumerate(found.messages, 1)]
    return Document(title=found.title or _title(messages), cwd=found.cwd, model=found.model, messages=messages)


def _of_json(text: str) -> Document:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidParams(f"line {error.lineno}, column {error.colno}: this is no JSON ({error.msg})") from None
    except (ValueError, RecursionError) as error:
        raise InvalidParams(f"this JSON cannot be read ({error})") from None
    _check_format(value)
    session, blobs = _object(value, "session"), _object(value, "blobs")
    if not isinstance(value.get("messages"), list):
        raise InvalidParams("messages: expected a list")
    messages = value["messages"]
    for index, message in enumerate(messages):
        _message(message, f"messages[{index}]")
    for name, blob in blobs.items():
        _check_blob(name, blob)
    _check_references(messages, blobs)
    settings: Any = plain(structure(_object(value, "settings"), SessionSettings, "settings"))
    return Document(
        title=_text(session, "title") or _title(messages),
        cwd=_text(session, "cwd"),
        model=_text(session, "model"),
        messages=messages,
        preferences=settings["preferences"],
        variables=settings["variables"],
        blobs={name: blob["data"] for name, blob in blobs.items()},
    )


def _check_format(value: Any) -> None:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise InvalidParams(f'this is JSON, but no exported session: "format" should be "{FORMAT}"')
    version = value.get("version")
    if type(version) is not int or version < 1:
        raise InvalidParams(f"version: expected {VERSION}, got {json.dumps(version)[:40]}")
    if version > VERSION:
        raise InvalidParams(f"version: the file has version {version}, this agentctl reads version {VERSION}; a newer one reads it")


def _object(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise InvalidParams(f"{name}: expected an object" if name in value else f"{name}: is missing")
    return found


def _text(session: Mapping[str, Any], name: str) -> str:
    found = session.get(name, "")
    if not isinstance(found, str):
        raise InvalidParams(f"session.{name}: expected a string")
    return found


def _message(value: Any, path: str) -> HistoryMessage:
    message = structure(value, HistoryMessage, path)
    if not message.parts:
        raise InvalidParams(f"{path}.parts: must not be empty")
    for index, part in enumerate(message.parts):
        if part.kind not in _MAY_HOLD[message.role]:
            raise InvalidParams(f"{path}.parts[{index}]: a message of role {message.role} holds no {part.kind}")
    return message


def _check_blob(name: str, blob: Any) -> None:
    path = f"blobs.{name[:12]}"
    if not isinstance(blob, dict) or not isinstance(blob.get("data"), str):
        raise InvalidParams(f'{path}: expected {{"bytes": ..., "data": "base64"}}')
    try:
        content = base64.b64decode(blob["data"], validate=True)
    except (binascii.Error, ValueError):
        raise InvalidParams(f"{path}.data: this is no base64") from None
    if hashlib.sha256(content).hexdigest() != name or len(content) != blob.get("bytes"):
        raise InvalidParams(f"{path}: the content is damaged: it has another length or another sha256")


def _check_references(messages: Sequence[Mapping[str, Any]], blobs: Mapping[str, Any]) -> None:
    for index, message in enumerate(messages):
        for name, size in blobs_of(message).items():
            if name not in blobs:
                raise InvalidParams(f"messages[{index}]: refers to blob {name[:12]}, which is not under blobs")
            if blobs[name]["bytes"] != size:
                raise InvalidParams(f"messages[{index}]: blob {name[:12]} has {blobs[name]['bytes']} bytes, not {size}")


def _title(messages: Sequence[Mapping[str, Any]]) -> str:
    """A session without a title is called by the first line that was said."""
    texts = (part["text"] for message in messages for part in message["parts"] if part["kind"] == "text")
    return next((line.strip()[:80] for text in texts for line in text.splitlines() if line.strip()), "an imported session")
