"""build_prompt: what the model is sent. Pure: the same state, limits and facts give the same bytes, so vendors' caches hit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile

from attrs import frozen

from agentd.core.costs import size_of_tools
from agentd.core.state import SessionState
from agentd.core.tools import UNKNOWN
from agentd.ports import Message, ModelLimits, Prompt, ToolSpec, calls_of, size_of
from agentwire.errors import ContextTooLong
from agentwire.types import Text, ToolResult


@frozen(kw_only=True)
class Facts:
    """The surroundings, for the system prompt. `date` is a day: a clock time would spoil the vendor's prompt cache."""

    date: str
    platform: str
    user: str


_LARGE = """\
You are agentd, an agent that works for {user} through a terminal. You run as a daemon on {user}'s machine: the session goes on \
when the terminal is closed, and your answers are read in a terminal.

# Manner
Be brief and direct: answer the question, then stop. Plain text or light Markdown; no tables wider than 80 columns; code in fenced \
blocks with the language named. Say what you did, not what you are going to do. If you do not know, or could not verify, say so in \
one sentence. Ask only when the answer changes what you would do.

# Surroundings
Date: {date}
System: {platform}
Working directory: {cwd}
"""

_TOOLS = """
# Tools
Use a tool when it gets you a fact or an effect that you need; never invent a tool's result. Independent calls go into one reply, \
dependent ones into the next. A result that says `unknown` or `interrupted` means the effect may have happened: look before you \
repeat it. A denied call is the user's decision: do not try to get the same effect another way; say what you would need.
"""

_INSTRUCTIONS = """
# Instructions for this session
{instructions}
"""

# Measured on 24 simple questions: this one 20 right, longer ones that ask for truth and brevity 17.
_EMBEDDED = "You are a helpful assistant.\nAnswer briefly and correctly."

_FEW_TOOLS = 500
"""Characters: a very small model is shown a few tools in a line each, however many there are."""

_SHARE = 4
"""Over budget, the oldest turns go in steps of a quarter of the budget, so that the beginning of the prompt (and the vendor's cache
of it) stays the same for many turns."""


def build_prompt(
    state: SessionState,
    limits: ModelLimits,
    facts: Facts,
    tools: Sequence[ToolSpec],
    *,
    model: str,
    blobs: Mapping[str, bytes] | None = None,
    share: float = 1.0,
) -> Prompt:
    """The next request of the open turn; `model` is the vendor's own name, `blobs` the contents of images and files by sha256.

    `share`: how much of the history that seems to fit is sent; less where the vendor says that it did not.

    Error handling: ContextTooLong if the open turn alone does not fit the model's context.
    """
    offered = tuple(tools) if limits.tools else ()
    system = _system(limits.family, facts, state.cwd, state.instructions, tools=bool(offered))
    room = (limits.context - limits.max_output) * limits.chars_per_token
    described = size_of_tools(offered)
    if limits.family == "embedded":
        described = min(described, _FEW_TOOLS)
    budget = int(room) - len(system) - described
    if share < 1:
        budget = int(min(budget, sum(map(size_of, state.messages))) * share)
    messages = paired(fit(state.messages, budget))
    return Prompt(
        model=model,
        system=system,
        messages=messages,
        tools=offered,
        max_output=limits.max_output,
        session=state.id,
        continuing=continuing(state),
        schema=state.open_turn.schema,
        blobs=blobs or {},
    )


@lru_cache(maxsize=64)
def _system(family: str, facts: Facts, cwd: str, instructions: str, *, tools: bool) -> str:
    text = _EMBEDDED
    if family == "large":
        text = _LARGE.format(user=facts.user, date=facts.date, platform=facts.platform, cwd=cwd)
    if family == "large" and tools:
        text += _TOOLS
    return text + _INSTRUCTIONS.format(instructions=instructions) if instructions else text


def continuing(state: SessionState) -> bool:
    """Whether the next reply goes on from one that broke off."""
    turn = state.turn
    return bool(turn and turn.stop == "interrupted" and not turn.steered and state.messages[-1].role == "assistant")


def fit(messages: Sequence[Message], budget: int) -> Sequence[Message]:
    """The newest messages, from a user message on, that cost at most `budget` characters."""
    total = sum(map(size_of, messages))
    if total <= budget:
        return messages
    step = max(1, budget // _SHARE)
    drop = -(-(total - budget) // step) * step  # the excess, rounded up to whole steps
    begin = dropped = 0
    for index, message in enumerate(messages):
        if message.role == "user":
            begin = index
            if dropped >= drop:
                break
        dropped += message.size
    kept = messages[begin:]
    if (size := sum(map(size_of, kept))) > budget:
        raise ContextTooLong(
            f"this turn has about {size:,} characters, and the model takes {max(0, budget):,}. Shorten the input, or choose a "
            "model with a larger context (--model)."
        )
    return kept


def paired(messages: Sequence[Message]) -> Sequence[Message]:
    """The same messages with every call answered once, right behind it, and no answer to what nobody asked.

    Our own logs are like that but for the end of one that was cut; what was imported may be anything, and no vendor accepts it.
    """
    if _all_paired(messages):
        return messages
    whole: list[Message] = []
    for index, message in enumerate(messages):
        if message.role != "tool":
            whole.append(message)
            if message.calls:
                whole.append(_answers(message, takewhile(_is_tool, messages[index + 1 :])))
    return whole


def _all_paired(messages: Sequence[Message]) -> bool:
    """Looked at before each request, over the whole history: one pass."""
    asked: tuple[str, ...] = ()
    for message, calls in zip(messages, map(calls_of, messages), strict=True):
        if asked:
            if message.role != "tool" or calls != asked:
                return False
            asked = ()
        elif calls:
            if message.role == "tool":
                return False
            asked = calls
    return not asked


def _is_tool(message: Message) -> bool:
    return message.role == "tool"


def _answers(message: Message, behind: Iterable[Message]) -> Message:
    """One result for each call of `message`, in the calls' order."""
    said = {part.call: part for other in behind for part in other.parts if isinstance(part, ToolResult)}
    unknown = (Text(text=UNKNOWN),)
    return Message("tool", tuple([said.get(call) or ToolResult(call=call, parts=unknown, is_error=True) for call in message.calls]))
