"""How Ollama tells of a model that it fetches, sans-IO: the lines of an answer to /api/pull -> how far it has come."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from agentd.ports import Fetched
from agentd.providers.ollama_lines import LineReader
from agentd.providers.sse import SseError
from agentwire.errors import BadRequest, ProviderDown, ProviderError


class _Line(Struct):
    status: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0
    error: str | None = None


_lines = msgspec.json.Decoder(_Line)
_UNKNOWN = ("file does not exist", "invalid model name")


class PullReader:
    """One answer. `who`: the host, `model`: what it fetches, for error messages. `done`: the model is there."""

    def __init__(self, who: str, model: str) -> None:
        self.done = False
        self._who, self._model = who, model
        self._reader = LineReader()
        self._layers: dict[str, tuple[int, int]] = {}  # bytes so far, of so many
        self._detail = ""

    def feed(self, data: bytes) -> Fetched:
        """How far it is by all that came so far. Raises the ProviderError that the host tells of, or for what is no such answer."""
        try:
            for line in self._reader.feed(data):
                self._take(_lines.decode(line))
        except (SseError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ProviderDown(f"{self._who} told of its pull in words that nobody understands: {error}") from None
        done, total = (sum(numbers) for numbers in zip((0, 0), *self._layers.values(), strict=True))
        return Fetched(done, total, self._detail)

    def _take(self, line: _Line) -> None:
        if line.error is not None:
            raise self._failure(line.error)
        if line.digest and line.total > 0:
            self._layers[line.digest] = (min(max(line.completed, 0), line.total), line.total)
        self._detail = line.status
        self.done = line.status == "success"

    def _failure(self, said: str) -> ProviderError:
        if any(words in said for words in _UNKNOWN):
            return BadRequest(f"{self._who} finds no model {self._model}: {said}. Its names are those of ollama.com/library.")
        return ProviderDown(f"{self._who} could not fetch {self._model}: {said}")
