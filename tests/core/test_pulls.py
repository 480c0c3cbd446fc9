"""A pull is one, whoever asks for it, and everybody who watches it sees its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from attrs import define, field

from agentd.core.api import Caller
from agentd.core.api_models import ModelMethods
from agentd.core.pulls import Pulls
from agentd.ports import Fetched
from agentwire.errors import BadRequest, InvalidParams, ProviderDown
from agentwire.methods import Pulling, PullModel
from agentwire.types import ErrorInfo
from tests.fakes.hosts import Bench, Host

MODEL = "ollama/llama3.2"


@define
class FakePuller:
    """Fetches in two halves, the second after `go`."""

    go: trio.Event = field(factory=trio.Event)
    failure: Exception | None = None
    asked: list[str] = field(factory=list)

    async def pull(self, model: str, report: Callable[[Fetched], None]) -> None:
        self.asked.append(model)
        report(Fetched(50, 100, "pulling 8eeb"))
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        report(Fetched(100, 100, "success"))


@asynccontextmanager
async def pulling(puller: FakePuller) -> AsyncIterator[Pulls]:
    pulls = Pulls({"ollama": puller})
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda *, task_status: pulls.run(task_status=task_status))
        yield pulls
        nursery.cancel_scope.cancel()


async def test_a_pull_is_joined_and_its_end_is_seen_by_all() -> None:
    """Who asks while it runs gets the same one; who has its number sees how it ended."""
    puller = FakePuller()
    async with pulling(puller) as pulls:
        first = pulls.follow(MODEL, 0)
        assert first == Pulling(model=MODEL, pull=1, state="running")
        await trio.testing.wait_all_tasks_blocked()
        assert pulls.follow(MODEL, 0) == Pulling(
            model=MODEL, pull=1, state="running", completed=50, total=100, detail="pulling 8eeb"
        )
        puller.go.set()
        await trio.testing.wait_all_tasks_blocked()
        done = Pulling(model=MODEL, pull=1, state="done", completed=100, total=100, detail="success")
        assert [pulls.follow(MODEL, 1) for _ in range(2)] == [done, done]
        assert puller.asked == ["llama3.2"]


@pytest.mark.parametrize("number", [0, 7])
async def test_after_its_end_another_begins(number: int) -> None:
    """For whoever has not watched it, or has watched one of a daemon that is gone."""
    puller = FakePuller()
    puller.go.set()
    async with pulling(puller) as pulls:
        pulls.follow(MODEL, 0)
        await trio.testing.wait_all_tasks_blocked()
        assert pulls.follow(MODEL, number).pull == 2


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (ProviderDown("the disk is full"), "provider_down", "the disk is full"),
        (BadRequest("no such model"), "bad_request", "no such model"),
        (KeyError("bug"), "internal_error", "a bug in agentd; its traceback is in the log"),
    ],
)
async def test_a_failure_is_told(failure: Exception, code: str, message: str) -> None:
    """Also one of ours; nothing else comes to harm."""
    puller = FakePuller(failure=failure)
    puller.go.set()
    async with pulling(puller) as pulls:
        pulls.follow(MODEL, 0)
        await trio.testing.wait_all_tasks_blocked()
        told = pulls.follow(MODEL, 1)
        assert told.state == "failed"
        assert told.error == ErrorInfo(code=code, message=message, retryable=code == "provider_down")
        assert pulls.follow("ollama/other", 0).state == "running"


async def test_models_of_others_are_not_pulled() -> None:
    async with pulling(FakePuller()) as pulls:
        with pytest.raises(InvalidParams, match="models of openai are not pulled; those of ollama are"):
            pulls.follow("openai/gpt", 0)


async def test_only_so_many_are_remembered() -> None:
    """Names come from users: 10,000 of them cost no memory in the end."""
    puller = FakePuller()
    puller.go.set()
    async with pulling(puller) as pulls:
        for number in range(300):
            pulls.follow(f"ollama/m{number}", 0)
            await trio.testing.wait_all_tasks_blocked()
        assert pulls.follow("ollama/m299", 300).pull == 300
        assert pulls.follow("ollama/m0", 1).pull == 301


async def test_the_method() -> None:
    async with pulling(FakePuller()) as pulls:
        methods = ModelMethods(pulls, Bench(Host("a")).router, {})
        answer = await methods.handlers["model/pull"](Caller("local", admin=True), PullModel(model=MODEL))
        assert answer == Pulling(model=MODEL, pull=1, state="running")
