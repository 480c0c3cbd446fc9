"""Idempotency: a request with a key is carried out once, and answered the same ever after (24 h, promises.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import trio

from agentd.ports import Adopt, IdemKey, NewEvent, Store
from agentwire import events as ev
from agentwire.errors import Conflict


class Once:
    """Appends for whoever may hang up, and may ask again. `params` of every method have a `key`, empty for none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._inflight: dict[tuple[str, str], trio.Event] = {}

    async def run(self, user: str, method: str, params: Any, action: Callable[[], Awaitable[Any]]) -> Any:
        """Run `action`, or answer as it was answered before under the same key; a second request waits for a running first.

        `action` appends with `key` below. Error handling: Conflict if the key stands for another request.
        """
        if not params.key:
            return await action()
        mine = (user, params.key)
        while (running := self._inflight.get(mine)) is not None:
            await running.wait()
        done = self._inflight[mine] = trio.Event()
        try:
            known = await self._store.answered(*mine)
            if known and known[0] != _digest(method, params):
                raise Conflict("this idempotency key was used for another request; use a new one")
            result = msgspec.Raw(known[1]) if known else await action()
        finally:
            del self._inflight[mine]
            done.set()
        return result

    def key(self, user: str, method: str, params: Any, answer: Callable[[Sequence[ev.Event]], Any]) -> IdemKey | None:
        """What commits with the events; `answer` makes the reply from them. None if the request has no key."""
        if not params.key:
            return None
        return IdemKey(
            user=user, key=params.key, digest=_digest(method, params), answer=lambda events: msgspec.json.encode(answer(events))
        )

    async def append(
        self, events: Sequence[NewEvent], key: IdemKey | None = None, *, adopt: Adopt | None = None
    ) -> Sequence[ev.Event]:
        """Shielded: the caller may hang up, the append happens all the same and its reservation must be settled.

        It ends with the commit or with an error.
        """
        with trio.CancelScope(shield=True):
            committed = await self._store.append(events, key=key, adopt=adopt)
        return committed  # noqa: RET504 - mypy takes any cancel scope for one that may swallow the return


def _digest(method: str, params: Any) -> str:
    return hashlib.sha256(method.encode() + b"\0" + msgspec.json.encode(params)).hexdigest()
