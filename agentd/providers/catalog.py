"""What is known of models, as data: limits, abilities, prices, quirks; and safe defaults for the rest.

Theory of operation: of the table's rows (catalog_data.py) a model has the one with its very name, else that of its name without the
date of a snapshot, else the pattern with the most letters. What the configuration says of it is laid over that, the most specific
pattern last. Everything that is asked of it for each request is worked out once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal

from attrs import Factory, field, frozen

from agentd.ports import ModelLimits
from agentd.providers.catalog_data import OWN_MACHINE, SAFE, TABLES, Row
from agentwire.types import LongPrice, Price

Effort = Literal["", "none", "minimal", "low", "medium", "high", "xhigh", "max"]
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SNAPSHOT = re.compile(r"-(latest|\d{4}-\d{2}-\d{2}|20\d{6}|\d{4})$")


def _words(words: Iterable[str]) -> frozenset[str]:
    return frozenset(words)


@frozen(kw_only=True)
class ModelData:
    """One model. `context`, `max_output` in tokens. `known` False: nobody told us anything, these are safe defaults.

    `tools`, `schema`: whether its host has tool calls and structured output, or they are made up for (emulation.py). `prefill`: its
    host goes on from a last assistant message. `thinking`: it reasons before it answers; `effort`: how much it shall, of the
    `efforts` that its host takes (empty: any). `temperature` None: its host's own. `extra`: further fields of the request's body.

    `quirks`, what the dialect must do differently for it: `no-temperature` (its host refuses one), `always-thinking` (it cannot be
    told not to), `adaptive-thinking` (Anthropic: no budget of tokens, an effort), `no-forced-tools` (a call cannot be demanded),
    `echo-reasoning` (its own reasoning goes back with each message), `thinking-type` and `enable-thinking` (DeepSeek's and
    Qwen's way to say whether it shall think).
    """

    context: int = 128_000
    max_output: int = 8192
    chars_per_token: float = 3.5
    family: Literal["large", "embedded"] = "large"
    tools: Literal["native", "emulated", "none"] = "native"
    schema: Literal["native", "emulated"] = "emulated"
    images: bool = False
    files: bool = False
    prefill: bool = False
    thinking: bool = False
    effort: Effort = ""
    efforts: tuple[str, ...] = ()
    temperature: float | None = None
    price: Price | None = None
    quirks: frozenset[str] = field(default=frozenset(), converter=_words)
    extra: Mapping[str, Any] = Factory(dict)
    known: bool = False

    @property
    def limits(self) -> ModelLimits:
        return ModelLimits(
            context=self.context,
            max_output=self.max_output,
            chars_per_token=self.chars_per_token,
            family=self.family,
            tools=self.tools != "none",
            images=self.images,
            files=self.files,
            prefill=self.prefill,
            price=self.price,
        )

    @property
    def asked_effort(self) -> str:
        """`effort` as its host takes it: of its `efforts` the nearest, of two as near the lesser. Empty: say nothing of it."""
        if not self.effort or not self.efforts or self.effort in self.efforts:
            return self.effort
        wanted = _EFFORTS.index(self.effort)
        return min(self.efforts, key=lambda effort: (abs(_EFFORTS.index(effort) - wanted), _EFFORTS.index(effort)))


class Catalog:
    """`overrides`: from the configuration, `provider/model` (or a pattern with `*`) to fields of ModelData, of which the price is
    given as `price_input`, `price_output`, `price_cached`. `cap`: tokens that no model's context exceeds, 0: none. `elsewhere`:
    providers at another address than the vendor's, where the vendor's prices mean nothing."""

    def __init__(
        self, overrides: Mapping[str, Mapping[str, Any]] | None = None, *, cap: int = 0, elsewhere: Collection[str] = ()
    ) -> None:
        self._overrides = sorted((overrides or {}).items(), key=lambda item: _weight(item[0]))
        self._cap = cap
        self._elsewhere = frozenset(elsewhere)
        self.find: Callable[[str, str], ModelData] = lru_cache(maxsize=256)(self._look_up)
        """(provider, model) -> the data of that model. Names come from users: what is kept is bounded."""

    def _look_up(self, provider: str, model: str) -> ModelData:
        fields = _table(provider, model)
        if provider in self._elsewhere:
            fields["price"] = None
        full_name = f"{provider}/{model}"
        told: dict[str, Any] = {}
        for pattern, override in self._overrides:
            if _matches(pattern, full_name):
                told.update(override, extra={**told.get("extra", {}), **override.get("extra", {})})
                fields["known"] = fields["known"] or pattern == full_name or "context" in override
        fields["price"] = _price(told, fields["price"])
        return ModelData(**_bounded({**fields, **told}, told, self._cap))


def capabilities(data: ModelData) -> tuple[str, ...]:
    """As in `ModelInfo`."""
    words = {
        "tools": data.tools == "native",
        "emulated-tools": data.tools == "emulated",
        "images": data.images,
        "files": data.files,
        "schema": data.schema == "native",
        "emulated-schema": data.schema == "emulated",
        "reasoning": data.thinking,
    }
    return tuple(word for word, there in words.items() if there)


def _table(provider: str, model: str) -> dict[str, Any]:
    """What is known without the configuration."""
    free = Price(input=0.0, output=0.0, cached=0.0) if provider in OWN_MACHINE and not model.endswith("-cloud") else None
    row = _row(TABLES.get(provider, ()), model)
    if row is None:
        return {**SAFE.get(provider, {}), "price": free, "known": False}
    return {**row[1], "price": _listed(row, _WRITTEN.get(provider, 0.0)) or free, "known": True}


_WRITTEN: Mapping[str, float] = {"anthropic": 1.25}
"""Times the price of input (https://platform.claude.com/docs/en/build-with-claude/prompt-caching, for the five minutes that we ask
for). Of the others' surcharges nothing is known here."""


def _row(rows: tuple[Row, ...], model: str) -> Row | None:
    named = {row[0]: row for row in rows}
    if found := named.get(model) or named.get(_SNAPSHOT.sub("", model)):
        return found
    return max((row for row in rows if _matches(row[0], model)), key=lambda row: _weight(row[0]), default=None)


def _listed(row: Row, surcharge: float) -> Price | None:
    """`surcharge`: by how much it is dearer to put input into the cache."""
    if len(row) == 2:
        return None
    above = row[3] if len(row) == 4 else ()
    longer = tuple(LongPrice(tokens=tokens, input=new, output=out, cached=old) for tokens, new, out, old in above)
    new, out, old = row[2]
    return Price(input=new, output=out, cached=old, written=round(new * surcharge, 6) if surcharge else None, above=longer)


def _price(told: dict[str, Any], listed: Price | None) -> Price | None:
    """With what the configuration says, taken out of `told`. Half a price is none: input and output must both be known."""
    new, out, old, put = (told.pop(f"price_{name}", None) for name in ("input", "output", "cached", "written"))
    if new is None and out is None and old is None and put is None:
        return listed
    if listed is not None:
        new = listed.input if new is None else new
        out = listed.output if out is None else out
        old = listed.cached if old is None else old
        put = listed.written if put is None else put
    if new is None or out is None:
        return None
    return Price(input=new, output=out, cached=new if old is None else old, written=put)


def _bounded(fields: dict[str, Any], told: Mapping[str, Any], cap: int) -> dict[str, Any]:
    """A context that is smaller than the model's leaves less room for the reply, too, unless the configuration says how much."""
    context = fields.get("context", ModelData().context)
    asked = min(context, cap) if cap else context
    output = fields.get("max_output", ModelData().max_output)
    if (asked < context or "context" in told) and "max_output" not in told:
        output = min(output, asked // 4)
    return {**fields, "context": asked, "max_output": min(output, asked // 2) if output >= asked else output}


def _weight(pattern: str) -> tuple[bool, int]:
    """How specific it is: a name before any pattern, then the one with more letters."""
    return "*" not in pattern, len(pattern.replace("*", ""))


def _matches(pattern: str, name: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None
