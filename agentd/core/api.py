"""Api: one function per wire method. Every front end calls `dispatch` with the same table; none has a way around it.

The methods stand in groups by what they are about (`api_*.py`), each with a table of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4

import structlog
from attrs import frozen

from agentd.core.sessions import Sessions
from agentwire import convert
from agentwire import methods as m
from agentwire.errors import AgentError, InternalError, UnknownMethod

log = structlog.get_logger()


@frozen
class Caller:
    """Who asks."""

    user: str
    admin: bool


Handler = Callable[[Caller, Any], Awaitable[Any]]


class Methods(Protocol):
    """A group of methods: `handlers` by wire name, each taking structured params."""

    handlers: Mapping[str, Handler]


class Api:
    def __init__(self, sessions: Sessions, groups: Sequence[Methods]) -> None:
        self.sessions = sessions
        self._handlers = {name: handler for group in groups for name, handler in group.handlers.items()}

    async def dispatch(self, caller: Caller, name: str, params: Mapping[str, Any]) -> Any:
        """Answer one request. Raises AgentError; a bug becomes InternalError with an id that is in the log."""
        handler = self._handlers.get(name)
        if handler is None:
            raise UnknownMethod(f"there is no method {name}")
        try:
            return await handler(caller, convert.structure(params, m.METHODS[name].params))
        except AgentError:
            raise
        except Exception:
            bug = uuid4().hex[:12]
            log.exception("dispatch_bug", method=name, id=bug)
            raise InternalError(f"a bug in agentd; its traceback is in the log under {bug}", id=bug) from None
