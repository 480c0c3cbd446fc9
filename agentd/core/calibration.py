"""How many characters a token of a model has: learnt from the tokens that hosts report, so that no tokenizer is needed.

In memory, for all sessions together; a new boot begins anew, with what the catalogue says of the model, and knows as much after a
few replies.
"""

from __future__ import annotations

from attrs import define

LEAST, MOST = 0.5, 8.0
"""Bounds of what is believed: Chinese has about 0.6 to 1.5 characters a token, English prose 4 to 5, white space more."""
_SMALL = 200
"""Tokens under which a request says little: what the host adds to it weighs too much."""
_JUMP = 2.0
"""One request moves the mean no further than if its ratio were so many times the mean, or a part of it."""
_MEMORY = 10
"""Requests after which the mean follows a change of what is talked about."""


@define
class _Mean:
    value: float
    seen: int = 1  # the value it began with counts as one request


class Calibration:
    """`ratio` to estimate with, `learn` from a request whose tokens are known."""

    def __init__(self) -> None:
        self._means: dict[str, _Mean] = {}

    def ratio(self, model: str, first: float) -> float:
        """Characters a token; `first` as long as nothing is known. In steps of a tenth: what is sent depends on it, and a vendor's
        cache of it should not be lost with every reply."""
        mean = self._means.setdefault(model, _Mean(first))
        return min(max(round(mean.value, 1), LEAST), MOST) if mean.seen > 1 else first

    def learn(self, model: str, characters: int, tokens: int) -> None:
        """`characters` were sent to the model and counted as `tokens`."""
        mean = self._means.get(model)
        if mean is None or tokens < _SMALL or characters <= 0:
            return
        seen = min(max(characters / tokens, mean.value / _JUMP), mean.value * _JUMP)
        mean.seen = min(mean.seen + 1, _MEMORY)
        mean.value = min(max(mean.value + (seen - mean.value) / mean.seen, LEAST), MOST)
