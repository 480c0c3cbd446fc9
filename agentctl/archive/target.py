"""A document brought into the daemon, piece by piece, as a session that says so until its last piece is there."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentctl import blobs
from agentctl.archive.document import Document
from agentctl.archive.source import Call, blobs_of
from agentwire.errors import InvalidParams

_BATCH = 768 * 1024
"""Bytes of messages in one request; one that is longer goes alone."""
_BATCH_MESSAGES = 500
_MAX_TITLE = 200


class Target:
    """A session in the making. `place`: its cwd and environment. Every request carries a key, so it may be sent twice.

    *Errors*: whatever the daemon answers; whoever lets the import end there calls `discard`.
    """

    def __init__(self, document: Document, title: str, place: Mapping[str, Any]) -> None:
        self._document, self._title = document, title[:_MAX_TITLE]
        self._key = os.urandom(16).hex()
        named = f"importing: {title}"[:_MAX_TITLE]
        self._create = {**place, "title": named, "model": document.model, "key": f"{self._key}-0"}
        self._put: set[str] = set()
        self.model_refused = ""
        """Why the session has another model than the document's."""

    def fill(self, call: Call) -> dict[str, Any]:
        """Makes the session; returns what `session/get` says of it when all is there."""
        session = self._created(call)
        for number, batch in enumerate(batches(self._document.messages), 1):
            for message in batch:
                self._put_blobs(call, session, message)
            call("message/add", {"session": session, "messages": batch, "key": f"{self._key}-{number}"})
        preferences = {**self._document.preferences, "model": None}  # the model came with the creation
        if self._document.variables or any(preferences.values()):
            call("session/set", {"session": session, "preferences": preferences, "variables": dict(self._document.variables)})
        return call("session/rename", {"session": session, "title": self._title})

    def discard(self, call: Call) -> None:
        """Deletes what there is of it, also where the answer to its creation was never heard."""
        # The same key, so this finds the session that was made, or makes one to delete.
        session = call("session/create", self._create)["id"]
        call("session/delete", {"session": session, "force": True})

    def _created(self, call: Call) -> str:
        try:
            return str(call("session/create", self._create)["id"])
        except InvalidParams as error:
            if not self._create["model"]:
                raise
            self.model_refused = error.message
        self._create = {**self._create, "model": "", "key": f"{self._key}-default"}
        return str(call("session/create", self._create)["id"])

    def _put_blobs(self, call: Call, session: str, message: Mapping[str, Any]) -> None:
        for name in blobs_of(message):
            if name not in self._put:
                blobs.put(call, session, name, base64.b64decode(self._document.blobs[name]))
                self._put.add(name)


def batches(messages: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """The messages in order, in portions that fit into one request."""
    batch: list[Mapping[str, Any]] = []
    size = 0
    for message in messages:
        length = len(json.dumps(message, ensure_ascii=False).encode())
        if batch and (size + length > _BATCH or len(batch) == _BATCH_MESSAGES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += length
    if batch:
        yield batch
