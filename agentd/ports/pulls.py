"""What core asks of those who fetch models."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol


class Fetched(NamedTuple):
    """How far a model on its way has come: bytes, of so many, and what its host does at the moment, in its words."""

    completed: int
    total: int
    detail: str


class Puller(Protocol):
    """A provider that can fetch models."""

    async def pull(self, model: str, report: Callable[[Fetched], None]) -> None:
        """Returns once the model is there. Pulled again after it broke off, it goes on where it was. Raises ProviderError."""
