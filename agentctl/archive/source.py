"""A session as the daemon has it, read a page and a piece at a time: what every format of an export is made of."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Call = Callable[[str, dict[str, Any]], dict[str, Any]]
"""One request to the daemon that may be sent twice: method and params in, its result out."""
_PAGE = 1000


class Source:
    """One session. *Errors*: whatever the daemon answers, `NotFound` at once if there is no such session."""

    def __init__(self, call: Call, session: str) -> None:
        self._call = call
        self.info = call("session/get", {"session": session})
        self.settings = call("session/settings", {"session": self.info["id"]})

    def messages(self) -> Iterator[dict[str, Any]]:
        """The conversation in order, as `message/list` gives it."""
        offset = 0
        while True:
            page = self._call("message/list", {"session": self.info["id"], "offset": offset, "limit": _PAGE})
            yield from page["messages"]
            offset += len(page["messages"])
            if not page["messages"] or offset >= page["total"]:
                return

    def blob(self, name: str) -> Iterator[bytes]:
        """The content of a blob, piece by piece."""
        offset = 0
        while True:
            piece = self._call("blob/get", {"session": self.info["id"], "blob": name, "offset": offset})
            data = base64.b64decode(piece["data"])
            yield data
            offset += len(data)
            if not data or offset >= piece["bytes"]:
                return


def blobs_of(message: Mapping[str, Any]) -> dict[str, int]:
    """The blobs that a message's images, files and tool results refer to, and how many bytes each has."""
    results = (part for part in message["parts"] if part["kind"] == "tool_result")
    inside = [inner for result in results for inner in result["parts"]]
    return {part["blob"]: part["bytes"] for part in (*message["parts"], *inside) if part["kind"] in _BLOBS}


_BLOBS = ("blob", "image", "file")
