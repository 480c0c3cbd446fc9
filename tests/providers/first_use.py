"""`python -m tests.providers.first_use CASE URL`: one request in a process that has imported no SDK yet; writes how many
milliseconds the loop was held up at most meanwhile."""

from __future__ import annotations

import sys

import trio

from agentd.ports import Message, Prompt
from agentd.providers.endpoint import Endpoint
from agentwire.config import ProviderConfig, Timeouts
from agentwire.types import Text
from tests.conformance.providers import CASES

_EVERY = 0.001  # seconds


async def main(name: str, url: str) -> None:
    case = next(case for case in CASES if case.name == name)
    config = ProviderConfig(api_key="sk-test", base_url=url + case.prefix)
    endpoint = Endpoint(case.provider, case.dialect(config.base_url), config, Timeouts(), case.catalog())
    messages = [Message("user", (Text(text="hello"),))]
    async with trio.open_nursery() as nursery:
        ticks: list[float] = []
        nursery.start_soon(_tick, ticks)
        async with endpoint.stream(Prompt(model=case.model, system="", messages=messages)) as stream:
            await stream.drain(lambda _: None)
        await trio.sleep(10 * _EVERY)
        nursery.cancel_scope.cancel()
    await endpoint.aclose()
    sys.stdout.write(f"{max(ticks) * 1000:.0f}\n")


async def _tick(ticks: list[float]) -> None:
    while True:
        due = trio.current_time() + _EVERY
        await trio.sleep_until(due)
        ticks.append(trio.current_time() - due)


if __name__ == "__main__":
    assert not {"openai", "anthropic", "httpx2"} & sys.modules.keys()
    trio.run(main, sys.argv[1], sys.argv[2])
