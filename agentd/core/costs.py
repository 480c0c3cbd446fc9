"""What a request costs: its tokens as the host reported them, or estimated where it did not, and money by the model's price. Pure.

Money is US dollars, rounded to nano-dollars: as whole numbers they add up exactly, and the cheapest token costs several.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from agentd.ports import ModelLimits, Prompt, ToolSpec, attached_to, size_of
from agentwire.types import Price, Usage

_MILLION = 1_000_000


def rounded(dollars: float) -> float:
    """To nano-dollars."""
    return round(dollars, 9)


def cost_of(usage: Usage, price: Price | None) -> float | None:
    """US dollars; None if the price is not known. Cached input has its own price, so has what is put into the cache; reasoning has
    that of output, a long request that of long ones."""
    if price is None:
        return None
    price, fresh = price.at(usage.input), max(usage.input - usage.cached - usage.written, 0)
    put = usage.written * (price.input if price.written is None else price.written)
    return rounded((fresh * price.input + usage.cached * price.cached + put + usage.output * price.output) / _MILLION)


def plus(first: float | None, second: float | None) -> float | None:
    """The sum of what is known; None if nothing is."""
    if first is None or second is None:
        return second if first is None else first
    return rounded(first + second)


def tokens_of(usage: Usage) -> int:
    """What a budget of tokens counts."""
    return usage.input + usage.output


def estimated_tokens(characters: int, ratio: float) -> int:
    """Of a text, rounded up. `ratio`: characters a token."""
    return -int(-characters // ratio)


def size_of_tools(tools: Sequence[ToolSpec]) -> int:
    """Characters that the descriptions of tools take in a request."""
    return sum([spec.size for spec in tools])


@frozen(kw_only=True)
class Asked:
    """A request as it will have to be paid for: so many `characters` were sent, to a model with `ratio` characters a token.

    `plain`: its tokens say how many characters this model has a token. Not so with images and files, whose size is guessed, nor
    for the embedded model, which is told of tools in words that are not counted here.
    """

    characters: int
    ratio: float
    price: Price | None
    plain: bool = False

    @classmethod
    def of(cls, prompt: Prompt, limits: ModelLimits) -> Asked:
        characters = len(prompt.system) + size_of_tools(prompt.tools) + sum(map(size_of, prompt.messages))
        if prompt.schema is not None:
            characters += len(str(prompt.schema))
        plain = limits.family != "embedded" and not any(map(attached_to, prompt.messages))
        return cls(characters=characters, ratio=limits.chars_per_token, price=limits.price, plain=plain)

    @property
    def tokens(self) -> int:
        """Its input, estimated."""
        return estimated_tokens(self.characters, self.ratio)


@frozen(kw_only=True)
class Bill:
    """What a reply has cost. `estimated`: not all of `usage` is what the host reported."""

    usage: Usage
    cost: float | None
    estimated: bool = False


def bill(asked: Asked | None, reported: Usage, written: int, *, whole: bool) -> Bill:
    """For `written` characters of a reply. `whole`: it came to its end, and with it the last report of its tokens.

    Of a reply that was cut a host reports nothing, or what it knew at its beginning: it was made and will be paid for all the same.
    """
    if asked is None:
        return Bill(usage=reported, cost=None)
    usage = reported
    if not whole or reported == Usage():
        usage = Usage(
            input=reported.input or asked.tokens,
            output=max(reported.output, estimated_tokens(written, asked.ratio)),
            cached=reported.cached,
            written=reported.written,
            reasoning=reported.reasoning,
        )
    return Bill(usage=usage, cost=cost_of(usage, asked.price), estimated=usage != reported)
