"""What holds for all sessions of a user: rules, and the project files that are trusted. Derived from the stream `user:<name>`."""

from __future__ import annotations

import msgspec
import structlog
import trio
from attrs import define, field

from agentd.core import loading
from agentd.ports import Store
from agentwire import __version__, convert
from agentwire import events as ev
from agentwire.types import Rule

log = structlog.get_logger()

_CODE = f"{__version__}/user/1"
"""The snapshots' code version: raise the number when a field of UserState changes its meaning."""
_SNAPSHOT_AFTER = 500
"""Events that were read to load a user: then it is worth a snapshot."""


def stream_of(user: str) -> str:
    return f"user:{user}"


@define
class UserState:
    """`trusted`: the sha256 under which a project's file counts, by its path. `seq`: of the newest event applied."""

    user: str
    rules: list[Rule] = field(factory=list)
    trusted: dict[str, str] = field(factory=dict)
    seq: int = 0

    def apply(self, event: ev.Event) -> None:
        """Take in the next event of the stream; most are about other things."""
        assert event.seq == self.seq + 1, f"user {self.user}: event {event.seq} after {self.seq}"
        self.seq = event.seq
        match event.body:
            case ev.RuleAdded(rule=text, verdict=verdict):
                rule = Rule(rule=text, verdict=verdict, scope="user", source="your rules")
                self.rules = self.rules if rule in self.rules else [*self.rules, rule]
            case ev.RuleRemoved(rule=text, verdict=verdict):
                self.rules = [rule for rule in self.rules if (rule.rule, rule.verdict) != (text, verdict)]
            case ev.ProjectTrusted(path=path, sha256=""):
                self.trusted.pop(path, None)
            case ev.ProjectTrusted(path=path, sha256=sha256):
                self.trusted[path] = sha256


class Users:
    """The users that somebody has asked for, as the log has them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, UserState] = {}
        self._loading: dict[str, tuple[trio.Event, list[ev.Event]]] = {}

    def __getitem__(self, user: str) -> UserState:
        """One that was loaded before."""
        return self._known[user]

    async def load(self, user: str) -> UserState:
        """The user's state; read on first use."""
        while (waiting := self._loading.get(user)) is not None:
            await waiting[0].wait()
        if user in self._known:
            return self._known[user]
        done, missed = self._loading[user] = trio.Event(), list[ev.Event]()
        try:
            state, saved = await self._read(user)
            for event in missed:  # committed while it was being read
                if event.seq > state.seq:
                    state.apply(event)
            self._known[user] = state
        finally:
            del self._loading[user]
            done.set()
        if state.seq - saved >= _SNAPSHOT_AFTER:
            await self._store.save_snapshot(stream_of(user), state.seq, _CODE, msgspec.json.encode(state))
        return state

    async def _read(self, user: str) -> tuple[UserState, int]:
        """As the log has it, and up to where a snapshot had it."""
        state = await self._snapshot(user)
        saved = state.seq
        async for event in loading.events_of(self._store, stream_of(user), after=saved):
            state.apply(event)
        return state, saved

    async def _snapshot(self, user: str) -> UserState:
        found = await self._store.load_snapshot(stream_of(user), _CODE)
        if found is None:
            return UserState(user)
        try:
            return convert.structure_stored(found[1], UserState)
        except ValueError as error:
            log.warning("snapshot_unreadable", user=user, reason=str(error))
            return UserState(user)

    def apply(self, event: ev.Event) -> None:
        """Take in a committed event of any stream."""
        if event.stream != stream_of(event.user):
            return
        if waiting := self._loading.get(event.user):
            waiting[1].append(event)
        elif state := self._known.get(event.user):
            state.apply(event)
