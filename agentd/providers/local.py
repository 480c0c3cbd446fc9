"""The models on this machine: each in a llama.cpp process of its own, as many at once as memory is meant for.

`local/smollm2-135m` is the embedded one, `local/NAME` the file NAME.gguf in the models directory, `local//a/path.gguf` (or with ~)
any other. Requests come in by one door, in order: one whose model is not loaded, when as many are as may be, waits there until the
one that was idle for longest is gone, or the first one gets idle.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final

import trio
from attrs import evolve

from agentd.ports import ModelLimits, Prompt, Spawner, Stream
from agentd.providers.catalog import Catalog, ModelData, capabilities
from agentd.providers.chat_request import ChatRequests
from agentd.providers.llama_file import NoModel
from agentd.providers.local_files import EMBEDDED_NAME, LocalFiles
from agentd.providers.local_model import LocalModel, Served
from agentwire.config import LocalConfig, Timeouts
from agentwire.errors import BadRequest, ProviderDown
from agentwire.types import ModelInfo, Text

NOTE: Final = "SmolLM2 135M on this machine's CPU: answers of demo quality; set OPENAI_API_KEY for a capable model"
MISSING: Final = "The embedded model's weights are not here; run `agentctl model pull`, or set OPENAI_API_KEY for another model."

LARGE = 16_384  # tokens of context from which a model gets the instructions of large ones
_MOST_OUTPUT = 4096  # tokens of one reply of a model of which nobody said more

# For the embedded model. Greedy with a slight penalty answered 14 of 16 simple questions; temperature 0.2 and 0.4 (min_p 0.1, top_p
# 0.9) 12 and 9. Long greedy answers run in circles: DRY breaks sequences of more than 6 tokens that come again, which cost none.
SAMPLING: Final = {
    "temperature": 0,
    "repeat_penalty": 1.05,
    "dry_multiplier": 0.8,
    "dry_allowed_length": 6,
    "dry_penalty_last_n": 512,
}


class LocalProvider:
    """A `ports.Provider`. Streams need `run` to be running. `first`: the model that `prewarm` loads if none was asked for yet."""

    name = "local"
    keys = 1

    def __init__(
        self,
        config: LocalConfig,
        timeouts: Timeouts,
        model_dir: str,
        runtime_dir: str,
        spawner: Spawner,
        catalog: Catalog | None = None,
        *,
        first: str = "",
    ) -> None:
        self._config, self._timeouts = config, timeouts
        self._files = LocalFiles(model_dir)
        self._runtime_dir, self._spawner = runtime_dir, spawner
        self._catalog = catalog or Catalog()
        self._table = Catalog()  # without what the configuration says
        self._first = first
        self._requests = ChatRequests(self.name)
        self._models: dict[str, LocalModel] = {}  # by path
        self._door = trio.Lock()
        self._freed = trio.Event()
        self._lives: trio.Nursery | None = None

    def reconfigure(self, timeouts: Timeouts) -> None:
        """The requests from now on have these."""
        self._timeouts = timeouts

    # --- what the router asks ------------------------------------------------------------------------------------------------

    def limits(self, model: str) -> ModelLimits:
        return self._data(model).limits

    async def models(self) -> Sequence[ModelInfo]:
        """The embedded one, and what GGUF files there are in the models directory."""
        return await trio.to_thread.run_sync(lambda: [self._info(name) for name in (EMBEDDED_NAME, *self._files.names())])

    def status(self) -> tuple[str, str]:
        """idle, starting, ready or unavailable, and why or where."""
        models = self._models.values()
        if running := [_shown(model) for model in models if model.child is not None]:
            return "ready", "; ".join(running)
        if starting := [model.served.name for model in models if model.starting]:
            return "starting", ", ".join(starting)
        for model in models:
            if model.exhausted is not None:
                return "unavailable", model.exhausted.message
        if not self._files.embedded_here() and not self._files.names():
            return "unavailable", MISSING
        return "idle", "starts with the first request"

    def stream(self, prompt: Prompt) -> AbstractAsyncContextManager[Stream]:
        """One answer. Waits for its turn when all slots are taken, and for the child when it is not running.

        Error handling: entering raises BadRequest if the file is missing, no model or damaged (it says what to do), ContextTooLong,
        or ProviderDown if the child cannot be started, died or hangs.
        """
        return self._stream(prompt)

    @asynccontextmanager
    async def _stream(self, prompt: Prompt) -> AsyncIterator[Stream]:
        name = prompt.model or EMBEDDED_NAME
        model = await self._enter(name)
        try:
            async with model.stream(self._body(name, prompt), self._timeouts) as reply:
                yield reply
        except ProviderDown as error:  # each model has a process of its own: the others are none the worse
            error.details["scope"] = "model"
            raise
        finally:
            model.leave()

    async def prewarm(self) -> None:
        """Load the model that was used last: it takes as long as a person to type."""
        used = max(self._models.values(), key=lambda model: model.used, default=None)
        with suppress(ProviderDown, BadRequest):
            model = await self._enter(used.served.name if used else self._first or EMBEDDED_NAME)
            try:
                await model.running()
            finally:
                model.leave()

    async def aclose(self) -> None:
        """Nothing is held between the children's lives; `run` ends the children."""

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Where the children live. Cancelling this kills them; streams then get ProviderDown."""
        try:
            async with trio.open_nursery() as self._lives:
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._lives = None

    # --- which model is loaded -----------------------------------------------------------------------------------------------

    async def _enter(self, name: str) -> LocalModel:
        """The model, when it may be loaded; whoever gets it must `leave` it."""
        served = self._served(name)
        if served.path in self._models:
            self._models[served.path].refuse_spoiled()  # before another has to make room for it
        async with self._door:
            model = self._models.get(served.path) or self._make(served)
            self._models[served.path] = model
            while not model.loaded and sum(other.loaded for other in self._models.values()) >= self._config.max_loaded:
                await self._make_room()
            model.enter()
            return model

    async def _make_room(self) -> None:
        idle = [model for model in self._models.values() if model.child is not None and model.idle]
        if idle:
            await min(idle, key=lambda model: model.used).unload()
        else:
            self._freed = trio.Event()
            await self._freed.wait()

    def _has_freed(self) -> None:
        self._freed.set()

    def _make(self, served: Served) -> LocalModel:
        return LocalModel(served, self._config, self._runtime_dir, self._spawner, self._begin, self._has_freed)

    def _begin(self, live: Callable[[], Awaitable[None]]) -> None:
        if self._lives is None or self._lives.cancel_scope.cancel_called:
            raise ProviderDown("agentd is stopping")
        self._lives.start_soon(live)

    # --- what is known of a model --------------------------------------------------------------------------------------------

    def _served(self, name: str) -> Served:
        """Raises BadRequest if there is no such model."""
        if name == EMBEDDED_NAME and not self._files.embedded_here():
            raise BadRequest(MISSING)
        try:
            file = self._files.read(name)
        except NoModel as error:
            raise BadRequest(
                f"There is no model local/{name}: {error}. `agentctl model list` shows what is in {self._files.folder}."
            ) from None
        who = "The embedded model" if name == EMBEDDED_NAME else f"The model local/{name}"
        return Served(name=name, who=who, path=file.path, bytes=file.bytes, context=self._data(name).context)

    def _data(self, name: str) -> ModelData:
        """The catalog's, within what the file says. What the configuration says of this very model counts more than of all."""
        name = name or EMBEDDED_NAME
        data, table = self._catalog.find(self.name, name), self._table.find(self.name, name)
        try:
            trained = self._files.read(name).context
        except NoModel:
            trained = 0
        context = self._config.context if data.context == table.context else data.context
        context = min(context, trained or context)
        if name == EMBEDDED_NAME or context < LARGE:
            return evolve(data, context=context)
        longest = data.max_output if data.max_output != table.max_output else min(_MOST_OUTPUT, context // 4)
        return evolve(data, context=context, family="large", max_output=longest)

    def _body(self, name: str, prompt: Prompt) -> bytes:
        data = self._data(name)
        if name == EMBEDDED_NAME:
            sampling = SAMPLING if data.temperature is None else {**SAMPLING, "temperature": data.temperature}
            data = evolve(data, extra={**sampling, **data.extra})
        limit = min(prompt.max_output or data.max_output, data.max_output)
        begun = prompt.continuing and bool(prompt.messages) and any(isinstance(part, Text) for part in prompt.messages[-1].parts)
        # The server would hold the rest of a reply to the schema of a whole one.
        prompt = evolve(prompt, max_output=limit, schema=None if begun else prompt.schema)
        return b"".join(self._requests.encode(prompt, data))

    def _info(self, name: str) -> ModelInfo:
        data, note, available = self._data(name), NOTE, self._files.embedded_here()
        if name == EMBEDDED_NAME:
            note = NOTE if available else MISSING
        else:
            try:
                file = self._files.read(name)
                spoiled = self._models[file.path].spoiled if file.path in self._models else ""
                note, available = spoiled or f"{_size(file.bytes)}{file.name and f', {file.name}'}", not spoiled
            except NoModel as error:
                note, available = str(error), False
        return ModelInfo(
            id=f"{self.name}/{name}",
            context=data.context,
            max_output=data.max_output,
            price=data.price,
            capabilities=capabilities(data),
            source="built-in" if name == EMBEDDED_NAME else "discovered",
            available=available,
            note=note,
        )


def _shown(model: LocalModel) -> str:
    """One process, for `agentctl status`."""
    assert model.child is not None
    return f"{model.served.name}: pid {model.child.pid}, {model.users} open{_memory(model.child.pid)}"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _memory(pid: int) -> str:
    """What the process has of the machine's memory, if it is still there."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return ""
    return f", {pages * os.sysconf('SC_PAGE_SIZE') // 1_000_000} MB"
