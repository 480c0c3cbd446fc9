"""A model without a vendor, for tests of the loop: the conversation so far decides the reply, so a restart gets the same one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import trio
from attrs import Factory, define, frozen

from agentd.ports import Build, Delta, ModelLimits, PartStart, PartText, Prompt, Spent, Stop
from agentwire.errors import ProviderError
from agentwire.types import Price, Usage


@frozen
class Say:
    """A text in pieces, one read each; then `error`, or the end with `stop` and what was used: `usage`, else 10 tokens and one for
    each piece."""

    pieces: Sequence[str]
    error: ProviderError | None = None
    gate: trio.Event | None = None
    stop: str = "end"
    usage: Usage | None = None


@frozen
class Ask:
    """Parallel calls: (tool, arguments as JSON). Nothing is said of what was used, but by `usage`."""

    calls: Sequence[tuple[str, str]]
    text: str = ""
    usage: Usage = Usage()


Reply = Say | Ask


@define
class FakeModels:
    """ports.Models. `script(prompt)` gives the reply to a request; `prompts` has every request. `price` is every model's."""

    script: Callable[[Prompt], Reply]
    prompts: list[Prompt] = Factory(list)
    context: int = 100_000
    price: Price | None = None

    def limits(self, model: str) -> ModelLimits:
        return ModelLimits(context=self.context, max_output=1000, price=self.price)

    def request(self, model: str) -> FakeRequest:
        return FakeRequest(self, model, self.limits(model))


@frozen
class FakeRequest:
    models: FakeModels
    model: str
    limits: ModelLimits
    over: bool = False

    async def drain(self, build: Build, sink: Callable[[Sequence[Delta]], None]) -> None:
        prompt = build(self.model, self.limits)
        self.models.prompts.append(prompt)
        await trio.lowlevel.checkpoint()
        match self.models.script(prompt):
            case Say(pieces=pieces, error=error, gate=gate, stop=stop, usage=usage):
                await _say(sink, pieces)
                if gate is not None:
                    await gate.wait()
                if error is not None:
                    raise error
                sink([Spent(usage or Usage(input=10, output=len(pieces))), Stop(stop)])  # type: ignore[arg-type]
            case Ask(calls=calls, text=text, usage=usage):
                await _say(sink, [text] if text else [])
                first = 1 if text else 0
                for number, (name, arguments) in enumerate(calls, first):
                    sink([PartStart(number, "tool_call", name), PartText(number, arguments)])
                    await trio.lowlevel.checkpoint()
                sink([Spent(usage), Stop("tool_calls")])


async def _say(sink: Callable[[Sequence[Delta]], None], pieces: Sequence[str]) -> None:
    for number, piece in enumerate(pieces):
        start: list[Any] = [] if number else [PartStart(0, "text")]
        sink([*start, PartText(0, piece)])
        await trio.lowlevel.checkpoint()


def waiting_model() -> FakeModels:
    """One whose replies never end."""
    return FakeModels(lambda prompt: Say(["..."], gate=trio.Event()))


def count_results(prompt: Prompt) -> int:
    """Tool results in the conversation: how far a scripted turn has come."""
    return sum(len(message.parts) for message in prompt.messages if message.role == "tool")
