"""An export in JSON: everything that a session holds but its log, as one document that is written while it is read."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from agentctl.archive.source import Source, blobs_of

FORMAT, VERSION = "agentd-session", 1
INFO = ("id", "title", "cwd", "model", "created_at", "updated_at", "parent")
"""What of the session's row is exported."""


def write(source: Source, out: Callable[[str], object]) -> None:
    """The document, in pieces; a message has a line of its own."""
    info = {name: source.info[name] for name in INFO}
    out(f'{{"format": "{FORMAT}", "version": {VERSION},\n"session": {_json(info)},\n"settings": {_json(source.settings)},\n')
    out('"messages": [')
    blobs: dict[str, int] = {}
    for number, message in enumerate(source.messages()):
        out((",\n" if number else "\n") + _json(message))
        blobs |= blobs_of(message)
    out('],\n"blobs": {')
    for number, (name, size) in enumerate(blobs.items()):
        out(f'{"," if number else ""}\n"{name}": {{"bytes": {size}, "data": "')
        for piece in _base64(source.blob(name)):
            out(piece)
        out('"}')
    out("}}\n")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _base64(pieces: Iterable[bytes]) -> Iterator[str]:
    """One base64 text of all pieces: each is cut where three bytes have become four characters."""
    rest = b""
    for piece in pieces:
        data = rest + piece
        whole = len(data) - len(data) % 3
        rest = data[whole:]
        yield base64.b64encode(data[:whole]).decode()
    yield base64.b64encode(rest).decode()
