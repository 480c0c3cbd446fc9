"""The providers that keep what `ports.Provider` promises: one `Case` each, with what its vendor's dialect does not have.

To add one: a Case in `CASES`, and for a new dialect a `valid` from the vendor's documented rules, as in valid_chat.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import trio
from attrs import evolve, field, frozen

from agentd.ports import Provider
from agentd.providers.catalog import Catalog
from agentd.providers.chat_dialect import ChatDialect
from agentd.providers.dialect import Dialect
from agentd.providers.emulation import Emulating
from agentd.providers.endpoint import Endpoint
from agentd.providers.local import LocalProvider
from agentd.providers.messages_dialect import MessagesDialect
from agentd.providers.ollama_dialect import OllamaDialect
from agentd.providers.responses_dialect import ResponsesDialect
from agentwire.config import LocalConfig, ProviderConfig, Timeouts
from agentwire.types import Usage
from tests.conformance.valid_chat import valid as valid_chat
from tests.conformance.valid_chat import valid_for_deepseek
from tests.conformance.valid_messages import valid as valid_messages
from tests.conformance.valid_ollama import valid as valid_ollama
from tests.conformance.valid_responses import valid as valid_responses
from tests.fakes.gguf import write_model
from tests.fakes.llama import LlamaSpawner
from tests.fakes.model_rules import Choose
from tests.fakes.model_script import Answer, Spend
from tests.fakes.model_server import ScriptedModelServer, serve
from tests.fakes.voices import Voice
from tests.fakes.voices.chat import ChatVoice
from tests.fakes.voices.messages import MessagesVoice
from tests.fakes.voices.ollama import OllamaVoice
from tests.fakes.voices.responses import ResponsesVoice

KEYS = ("sk-first-4f9a2b7c", "sk-second-77d1e03b")

Script = Sequence[Answer] | Choose


class Wire(Protocol):
    """A server that plays the script, and the provider that talks to it. `able`: its models take images, files and schemas."""

    def __call__(
        self, case: Case, script: Script, timeouts: Timeouts, *, able: bool
    ) -> AbstractAsyncContextManager[tuple[ScriptedModelServer, Provider]]: ...


@asynccontextmanager
async def over_http(
    case: Case, script: Script, timeouts: Timeouts, *, able: bool
) -> AsyncIterator[tuple[ScriptedModelServer, Provider]]:
    """An endpoint with two API keys."""
    async with serve(script) as server:
        base_url = server.base + case.prefix
        config = ProviderConfig(api_keys=KEYS, base_url=base_url)
        endpoint = Endpoint(case.provider, case.dialect(base_url), config, timeouts, case.catalog(able=able))
        try:
            yield server, endpoint
        finally:
            await endpoint.aclose()


@asynccontextmanager
async def emulating(
    case: Case, script: Script, timeouts: Timeouts, *, able: bool
) -> AsyncIterator[tuple[ScriptedModelServer, Provider]]:
    """The same behind what makes up for missing tools and schemas."""
    async with over_http(case, script, timeouts, able=able) as (server, endpoint):
        assert isinstance(endpoint, Endpoint)
        yield server, Emulating(endpoint, case.catalog(able=able))


@asynccontextmanager
async def on_this_machine(
    case: Case, script: Script, timeouts: Timeouts, *, able: bool
) -> AsyncIterator[tuple[ScriptedModelServer, Provider]]:
    """The process of a GGUF file, whose server plays the script."""
    assert not callable(script)
    spawner = LlamaSpawner(script)
    with TemporaryDirectory(prefix="llm-") as folder:
        write_model(Path(folder) / "scripted-1.gguf")
        provider = LocalProvider(LocalConfig(), timeouts, folder, f"{folder}/run", spawner, case.catalog(able=able))
        async with trio.open_nursery() as nursery:
            await nursery.start(provider.run)
            try:
                yield spawner.server, provider
            finally:
                nursery.cancel_scope.cancel()


def _all(spend: Spend) -> Usage:
    return Usage(input=spend.input, output=spend.output, cached=spend.cached, reasoning=spend.reasoning)


@frozen(kw_only=True)
class Case:
    """`dialect`: for a base URL, `prefix`: what that has behind the host. `valid` fails for a request that the vendor refuses.

    Where dialects differ: `usage` (what is reported of what was spent), `thoughts` (there is reasoning), `seals` (it is sealed),
    `cites` (there are citations), `refuses` (there is a word for a refusal), `prefills` (it goes on from a last assistant message).
    `own`: a process of ours, which has one key, a connection for each request, two of them at once, and models that are files.
    `abilities`: what the catalog says of its models, unless they shall be able to do nothing.
    """

    name: str
    provider: str
    dialect: Callable[[str], Dialect]
    voice: type[Voice]
    valid: Callable[[dict[str, Any]], None]
    prefix: str = "/v1"
    model: str = "scripted-1"
    wire: Wire = over_http
    usage: Callable[[Spend], Usage] = _all
    thoughts: bool = True
    seals: bool = False
    cites: bool = True
    refuses: bool = True
    prefills: bool = False
    own: bool = False
    abilities: dict[str, Any] = field(factory=lambda: {"images": True, "files": True, "schema": "native", "known": True})

    def catalog(self, *, able: bool = True) -> Catalog:
        abilities = self.abilities if able else {"images": False, "files": False, "schema": "emulated"}
        return Catalog({f"{self.provider}/*": abilities})

    def wired(
        self, script: Script, timeouts: Timeouts | None = None, *, able: bool = True
    ) -> AbstractAsyncContextManager[tuple[ScriptedModelServer, Provider]]:
        return self.wire(self, script, timeouts or Timeouts(), able=able)


_CHAT = Case(
    name="chat", provider="openai", dialect=lambda url: ChatDialect("openai", url), voice=ChatVoice, valid=valid_chat
)  # fmt: skip

_MESSAGES = Case(
    name="messages",
    provider="anthropic",
    dialect=lambda _: MessagesDialect("anthropic"),
    voice=MessagesVoice,
    valid=partial(valid_messages, prefill=True),
    prefix="",
    seals=True,
    prefills=True,
    abilities={"images": True, "files": True, "schema": "native", "prefill": True, "known": True},
)

CASES: Sequence[Case] = (
    _CHAT,
    evolve(
        _CHAT,
        name="deepseek",
        provider="deepseek",
        dialect=lambda url: ChatDialect("deepseek", url),
        model="deepseek-v4-pro",
        valid=valid_for_deepseek,
        seals=True,
        prefix="",
    ),
    evolve(_CHAT, name="emulating", wire=emulating),
    evolve(
        _CHAT,
        name="local",
        provider="local",
        wire=on_this_machine,
        own=True,
        prefills=True,
        abilities={"images": True, "files": True, "tools": "native", "schema": "native", "prefill": True},
    ),
    evolve(_CHAT, name="qwen", provider="qwen", dialect=lambda url: ChatDialect("qwen", url), model="qwen3.7-max"),
    _MESSAGES,
    evolve(
        _MESSAGES,
        name="messages, thinking",
        valid=valid_messages,
        prefills=False,
        abilities={"images": True, "files": True, "schema": "native", "thinking": True, "known": True},
    ),
    Case(
        name="responses",
        provider="openai",
        dialect=lambda url: ResponsesDialect("openai"),
        voice=ResponsesVoice,
        valid=valid_responses,
        model="m",  # of the sealed thoughts in histories.py
        seals=True,
        abilities={**_CHAT.abilities, "thinking": True},
    ),
    Case(
        name="ollama",
        provider="ollama",
        dialect=lambda _: OllamaDialect(),
        voice=OllamaVoice,
        valid=valid_ollama,
        prefix="",
        usage=lambda spend: Usage(input=spend.input, output=spend.output),
        cites=False,
        refuses=False,
        abilities={"images": True, "tools": "native", "schema": "native", "thinking": True, "known": True},
    ),
)
