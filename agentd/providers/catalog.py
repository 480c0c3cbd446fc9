"""What is known of models, as data: limits, abilities, prices, quirks; and safe defaults for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import Factory, frozen

from agentd.ports import ModelLimits
from agentwire.types import Price


@frozen(kw_only=True)
class ModelData:
    """One model. `context`, `max_output` in tokens. `known` False: nobody told us anything, these are safe defaults.

    `tools`, `schema`: whether its host has tool calls and structured output, or they are made up for (emulation.py). `prefill`: its
    host goes on from a last assistant message. `thinking`: it reasons before it answers; `effort`: how much it shall. `temperature`
    None: its host's own. `quirks`: what the dialect must do differently for it. `extra`: further fields of the request's body.
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
    effort: Literal["", "none", "minimal", "low", "medium", "high", "max"] = ""
    temperature: float | None = None
    price: Price | None = None
    quirks: frozenset[str] = frozenset()
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


class Catalog:
    """`overrides`: from the configuration, `provider/model` (or a pattern with `*`) to fields of ModelData."""

    def __init__(self, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._overrides = overrides or {}

    def find(self, provider: str, model: str) -> ModelData:
        """The data of a model of this provider."""
        raise NotImplementedError
