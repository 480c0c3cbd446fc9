"""The built-in tools that work on the session itself: its to-do list, questions to its user, long results read on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final

from agentd.ports import FixedTools, Place, Store, ToolContext, ToolOutcome, ToolSpec
from agentwire import events as ev
from agentwire.convert import structure
from agentwire.errors import InvalidParams, ToolError
from agentwire.types import Access, Text

_MOST_TODOS: Final = 100
_PIECE: Final = 32 * 1024
"""Bytes of a long result that are read at once, if the model does not say otherwise."""
_MOST_PIECE: Final = 64 * 1024
_MARKS: Final = {"pending": "[ ]", "in_progress": "[>]", "done": "[x]"}


def _object(**properties: Any) -> dict[str, Any]:
    required = [name for name, about in properties.items() if not about.pop("optional", False)]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_TODO: Final = ToolSpec(
    name="todo",
    description=(
        "Replace the session's to-do list, which the user sees. Use it for work of three steps or more: write them down first, "
        "have exactly one in_progress, mark each done as soon as it is. Always send the whole list."
    ),
    parameters=_object(
        todos={
            "type": "array",
            "maxItems": _MOST_TODOS,
            "items": _object(
                text={"type": "string", "minLength": 1, "maxLength": 500},
                state={"type": "string", "enum": ["pending", "in_progress", "done"]},
            ),
        }
    ),
    effect="read",  # of the world outside the session it changes nothing, and twice is the same as once
    policy="allow",
)
_ASK_USER: Final = ToolSpec(
    name="ask_user",
    description=(
        "Ask the user a question and wait for the answer. Only for what you cannot find out yourself and must not guess. Give "
        "options where there are a few; the user may answer otherwise."
    ),
    parameters=_object(
        question={"type": "string", "minLength": 1, "maxLength": 2000},
        options={"type": "array", "maxItems": 9, "items": {"type": "string", "maxLength": 200}, "optional": True},
    ),
    effect="read",
    policy="ask",
    personal=True,
)
_OUTPUT_READ: Final = ToolSpec(
    name="output_read",
    description=(
        "Read on in a result that was too long to be shown whole: it said its handle. A negative offset counts from the end."
    ),
    parameters=_object(
        handle={"type": "string", "pattern": "^[0-9a-f]{8,64}$"},
        offset={"type": "integer", "description": "in bytes", "optional": True},
        limit={"type": "integer", "minimum": 1, "maximum": _MOST_PIECE, "optional": True},
    ),
    effect="read",
    policy="allow",
)
_SPECS: Final = (_TODO, _ASK_USER, _OUTPUT_READ)


class SessionTools(FixedTools):
    """A `ports.ToolSource`. `handles`: the blobs that a session's messages name."""

    name = "session"
    offered = _SPECS

    def __init__(self, store: Store, handles: Callable[[str], Collection[str]]) -> None:
        self._store, self._handles = store, handles
        self._calls: dict[str, Callable[[Mapping[str, Any], ToolContext], Awaitable[ToolOutcome]]] = {
            "todo": self._todo,
            "ask_user": self._ask_user,
            "output_read": self._output_read,
        }

    def accesses(self, name: str, arguments: Mapping[str, Any], place: Place) -> Sequence[Access]:
        return ()

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        return await self._calls[name](arguments, context)

    async def _todo(self, arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        try:
            body = structure(arguments, ev.TodosChanged, "arguments")
        except InvalidParams as error:
            raise ToolError(error.message) from None
        todos = body.todos
        if len(todos) > _MOST_TODOS:
            raise ToolError(f"{len(todos)} items are too many: at most {_MOST_TODOS}. Put small ones together.")
        listed = "\n".join(f"{_MARKS[todo.state]} {todo.text}" for todo in todos)
        return ToolOutcome(outcome="ok", parts=(Text(text=listed or "the list is empty"),), bodies=(body,))

    async def _ask_user(self, _arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        return ToolOutcome(outcome="ok", parts=(Text(text=context.answer or "(the user agreed without saying more)"),))

    async def _output_read(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        blob = self._named(context.session, str(arguments.get("handle", "")))
        offset, limit = int(arguments.get("offset", 0)), min(int(arguments.get("limit", _PIECE)), _MOST_PIECE)
        if offset < 0:
            whole = await self._store.get_blob(context.session, blob, 0, 0)
            offset = max(0, whole[1] + offset) if whole else 0
        found = await self._store.get_blob(context.session, blob, offset, limit)
        if found is None:
            raise ToolError(f"what {blob[:16]} named is not there any more")
        content, size = found
        end = offset + len(content)
        more = f"\n[bytes {offset:,} to {end:,} of {size:,}" + (
            f"; go on with offset {end}]" if end < size else "; this is the end]"
        )
        return ToolOutcome(outcome="ok", parts=(Text(text=content.decode("utf-8", "replace") + more),))

    def _named(self, session: str, handle: str) -> str:
        found = {blob for blob in self._handles(session) if blob.startswith(handle)}
        if len(handle) < 8 or not found:
            raise ToolError(f"there is no result with the handle {handle[:70]!r} in this session")
        if len(found) > 1:
            raise ToolError(f"more than one result has a handle that begins with {handle}; give all of it")
        return found.pop()
