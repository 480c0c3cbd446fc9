"""The events that a damaged file proves, behind those of a backup: of each stream as far as they go on without a gap."""

from __future__ import annotations

import apsw
import msgspec
from attrs import define, field

from agentd.ports import Indexer
from agentd.store import files, history, usage
from agentd.store.derived import derive, rebuild
from agentd.store.erasing import deleted_by, erase_stream
from agentd.store.repair.hearsay import Hearsay
from agentd.store.repair.salvage import Found, Salvage

_NAMED = 5
"""Sessions with missing events that an account names."""


@define
class Merge:
    """The events that a damaged file proves, behind those that are there."""

    db: apsw.Connection
    index: Indexer
    salvage: Salvage
    heard: Hearsay
    heads: dict[str, int] = field(factory=dict)
    added: dict[str, int] = field(factory=dict)
    beyond: dict[str, int] = field(factory=dict)
    deleted: set[str] = field(factory=set)
    lost_blobs: list[str] = field(factory=list)

    def run(self, now: float) -> None:
        rows = "SELECT name, max(seq) FROM stream JOIN event ON event.stream = stream.id GROUP BY stream.id"
        self.heads = dict(self.db.execute(rows))
        for event in self.salvage.events():
            self._take(event)
        for stream in self.deleted:
            if (number := self._number(stream)) is not None:
                erase_stream(self.db, number, stream)
        touched = [stream for stream in self.added if stream not in self.deleted]
        for stream in touched:
            self._blobs(stream)
        self.db.execute("DELETE FROM snapshot")
        rebuild(self.db, self.index, touched)
        usage.recall(self.db, self.heard.erased)
        self._drafts(touched)
        self._keys()
        if self.lost_blobs:
            history.record(self.db, now, f"lost blobs: {' '.join(self.lost_blobs)}", history.OVER)  # no check asks for them again

    def _take(self, event: Found) -> None:
        """The next event of its stream. Where it contradicts what is there, the damaged file is right: it was in use."""
        if event.kind == "session_deleted":
            self.deleted.add(deleted_by(event.body))
        head = self.heads.get(event.stream, 0)
        if event.seq > head + 1:
            self.beyond[event.stream] = max(event.seq, self.beyond.get(event.stream, 0))
            return
        if event.seq <= head:
            known = self.db.execute(
                "SELECT sum FROM event WHERE stream = ? AND seq = ?", (self._number(event.stream), event.seq)
            ).get
            if event.known is None or known == event.known:
                return
            self.db.execute("DELETE FROM event WHERE stream = ? AND seq >= ?", (self._number(event.stream), event.seq))
        self._insert(event)

    def _insert(self, event: Found) -> None:
        number = self._number(event.stream)
        if number is None:
            self.db.execute("INSERT INTO stream (name, user) VALUES (?, ?)", (event.stream, event.user))
            number = self.db.last_insert_rowid()
        taken = self.db.execute("SELECT 1 FROM event WHERE pos = ?", (event.pos,)).get
        row = (None if taken else event.pos, number, event.seq, event.kind, event.version, event.at, event.stored, event.known)
        self.db.execute("INSERT INTO event (pos, stream, seq, kind, version, at, data, sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        self.heads[event.stream] = event.seq
        self.added[event.stream] = self.added.get(event.stream, 0) + 1

    def _number(self, stream: str) -> int | None:
        number: int | None = self.db.execute("SELECT id FROM stream WHERE name = ?", (stream,)).get
        return number

    def _blobs(self, stream: str) -> None:
        """What its events name: from the file, if it is what its name says."""
        user = self.db.execute("SELECT user FROM stream WHERE name = ?", (stream,)).get
        for name in sorted(derive(self.db, self.index, self._number(stream) or 0, stream, user).blobs):
            if self.db.execute("SELECT 1 FROM blob WHERE sha256 = ?", (name,)).get is None:
                if found := self.salvage.blob(name):
                    self.db.execute("INSERT INTO blob (sha256, bytes, data) VALUES (?, ?, ?)", (name, *found))
                else:
                    self.lost_blobs.append(name)

    def _drafts(self, touched: list[str]) -> None:
        """Of streams that are whole; a draft behind missing events belongs to another reply."""
        whole = {stream: self._number(stream) for stream in touched if self._missing(stream) == 0}
        self.db.executemany("DELETE FROM draft WHERE stream = ?", [(self._number(stream),) for stream in touched])
        for number, data in self.heard.drafts:
            stream = self.salvage.owners.get(number, ("", ""))[0]
            if stream in whole:
                self.db.execute("INSERT INTO draft (stream, data) VALUES (?, ?)", (whole[stream], data))

    def _keys(self) -> None:
        """Idempotency keys, unless events are missing: nobody may be told of what is not there any more."""
        if self._all_missing():
            return
        for row in self.heard.keys:
            if _is_json(row[3]):
                self.db.execute("INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?)", row)

    def _all_missing(self) -> dict[str, int]:
        """How many events each stream is known to lack."""
        known = {*self.heads, *self.beyond, *self.heard.heads} - self.deleted
        return {stream: number for stream in sorted(known) if (number := self._missing(stream))}

    def _missing(self, stream: str) -> int:
        last = max(self.beyond.get(stream, 0), self.heard.heads.get(stream, 0))
        return max(last - self.heads.get(stream, 0), 0)

    def account(self) -> str:
        """What came from the damaged file, and what did not."""
        count = sum(number for stream, number in self.added.items() if stream not in self.deleted)
        missing = self._all_missing()
        parts = [f"{count} events that only the damaged file had were read from it."]
        if missing:
            named = [f"{self._called(stream)} {number}" for stream, number in list(missing.items())[:_NAMED]]
            more = f", and of {len(missing) - _NAMED} other sessions" if len(missing) > _NAMED else ""
            parts.append(f"Missing are the last events of {', '.join(named)}{more}.")
        if self.lost_blobs:
            parts.append(f"{len(self.lost_blobs)} attachments are missing.")
        newest = self.db.execute("SELECT max(at) FROM event").get
        until = f"The newest event is of {files.readable(newest)}: what" if newest else "It has no events now: what"
        parts.append(f"{until} was written later is missing.")
        return " ".join(parts)

    def _called(self, stream: str) -> str:
        title = self.heard.titles.get(stream, "")
        return f"{stream[:12]} ({title[:40]}):" if title else f"{stream[:12]}:"


def _is_json(answer: bytes) -> bool:
    try:
        msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
