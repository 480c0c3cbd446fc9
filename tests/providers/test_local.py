"""The embedded model's provider: its child's life and its failures with a scripted child, then the real one with real weights."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from agentd.ports import Delta, Message, PartStart, PartText, Prompt, Spawner, Spent, Stop
from agentd.providers import local
from agentd.providers.llama_chat import Child
from agentd.providers.local import LocalProvider
from agentd.spawn import TrioSpawner
from agentwire.config import LocalConfig, Timeouts
from agentwire.errors import BadRequest, ContextTooLong, ProviderDown
from agentwire.types import ReplyPart, Text
from agentwire.weights import EMBEDDED
from tests.fakes.llama import LlamaSpawner
from tests.fakes.model_script import Answer, Cut, Drop, Event, Hang, Pings, Raw, Reply, Say, Silent, error, text

PATIENCE = 60.0  # seconds after which a test fails instead of hanging


def ask(words: str = "hello", *, begun: str = "", max_output: int = 0) -> Prompt:
    messages = [Message("user", (Text(text=words),))]
    if begun:
        said: tuple[ReplyPart, ...] = (Text(text=begun),)
        messages.append(Message("assistant", said))
    return Prompt(
        model="smollm2-135m", system="Be brief.", messages=messages, max_output=max_output, continuing=bool(begun), session="s"
    )


class Taken:
    """A sink that keeps what it got and says when there was text."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []
        self.some = trio.Event()

    def __call__(self, deltas: Sequence[Delta]) -> None:
        self.deltas.extend(deltas)
        if self.text:
            self.some.set()

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas if isinstance(delta, PartText))


async def answer(provider: LocalProvider, prompt: Prompt, taken: Taken | None = None) -> Taken:
    taken = taken or Taken()
    with trio.fail_after(PATIENCE):
        async with provider.stream(prompt) as stream:
            await stream.drain(taken)
    return taken


def embedded(provider: LocalProvider) -> Child | None:
    """The embedded model's process."""
    (model,) = provider._models.values()
    return model.child


@pytest.fixture
def models(home: Path) -> Path:
    """A folder with a file as long as the weights."""
    folder = home / "models"
    folder.mkdir()
    with (folder / EMBEDDED.file).open("wb") as file:
        file.truncate(EMBEDDED.bytes)
    return folder


@asynccontextmanager
async def running(
    spawner: Spawner, models: Path, home: Path, timeouts: Timeouts | None = None, **config: Any
) -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(LocalConfig(**config), timeouts or Timeouts(), str(models), str(home / "run"), spawner)
    async with trio.open_nursery() as nursery:
        await nursery.start(provider.run)
        yield provider
        nursery.cancel_scope.cancel()


# --- the child's life ------------------------------------------------------------------------------------------------------------


async def test_starts_on_first_use_and_stays(models: Path, home: Path) -> None:
    """Nothing runs until the first request; the second finds the same child, and the reply comes whole, usage and Stop last."""
    spawner = LlamaSpawner([text("one two"), text("three")])
    async with running(spawner, models, home) as provider:
        assert provider.status()[0] == "idle"
        taken = await answer(provider, ask())
        assert taken.deltas[0] == PartStart(0, "text")
        assert taken.text == "one two"
        assert isinstance(taken.deltas[-2], Spent)
        assert taken.deltas[-1] == Stop("end")
        assert provider.status()[0] == "ready"
        assert provider.status()[1].startswith("smollm2-135m: pid 1000, 0 open")
        assert (await answer(provider, ask())).text == "three"
    assert len(spawner.lives) == 1
    assert spawner.lives[0].ended.is_set()


async def test_several_first_uses_share_one_start(models: Path, home: Path) -> None:
    """Requests that come while the child starts wait for the same start."""
    spawner = LlamaSpawner([text("hi")], ready=False)
    async with running(spawner, models, home) as provider, trio.open_nursery() as nursery:
        all_taken = [Taken() for _ in range(4)]
        for taken in all_taken:
            nursery.start_soon(answer, provider, ask(), taken)
        await spawner.started.wait()
        assert provider.status()[0] == "starting"
        spawner.lives[0].allowed.set()
    assert [taken.text for taken in all_taken] == ["hi"] * 4
    assert len(spawner.lives) == 1


async def test_prewarm(models: Path, home: Path) -> None:
    """A child can be started before the first request, which then finds it; where it cannot be, nothing is raised."""
    spawner = LlamaSpawner([text("hi")])
    async with running(spawner, models, home) as provider:
        await provider.prewarm()
        assert provider.status()[0] == "ready"
        assert (await answer(provider, ask())).text == "hi"
    assert len(spawner.lives) == 1
    await provider.prewarm()
    async with running(spawner, home / "nowhere", home) as other:
        await other.prewarm()
    assert len(spawner.lives) == 1


async def test_the_key_is_no_secret_of_argv_and_ours_are_not_the_childs(
    models: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child gets its API key on stdin, and none of the environment's keys."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    spawner = LlamaSpawner([text("hi")])
    async with running(spawner, models, home, threads=3, context=1024) as provider:
        await answer(provider, ask())
    child = spawner.lives[0]
    key = child.stdin.decode().strip()
    assert len(key) == 64
    assert key not in " ".join(child.argv)
    assert spawner.server.seen[0].headers["authorization"] == f"Bearer {key}"
    assert "sk-secret" not in child.profile.environment.values()
    assert child.profile.environment["OMP_WAIT_POLICY"] == "passive"
    words = dict(zip(child.argv, child.argv[1:], strict=False))
    assert (words["--threads"], words["--context"]) == ("3", "1024")


async def test_a_frozen_program_starts_its_child_from_itself(models: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the single binary there is no `python -m`."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    spawner = LlamaSpawner([text("hi")])
    async with running(spawner, models, home) as provider:
        await answer(provider, ask())
    assert spawner.lives[0].argv[:2] == [sys.executable, "_llama"]


async def test_stops_when_idle(models: Path, home: Path) -> None:
    """Without a stream for `idle_stop` seconds the child ends; the next request starts another."""
    spawner = LlamaSpawner([text("one"), text("two")])
    async with running(spawner, models, home, idle_stop=0.01) as provider:
        await answer(provider, ask())
        with trio.fail_after(PATIENCE):
            await spawner.lives[0].ended.wait()
        assert (await answer(provider, ask())).text == "two"
    assert len(spawner.lives) == 2


async def test_an_open_stream_is_not_idle(models: Path, home: Path) -> None:
    """However slow an answer is, and with no idle time at all, the child lives until the stream is closed."""
    spawner = LlamaSpawner([Reply([Say("a b c d e", delay=0.02)])])
    async with running(spawner, models, home, idle_stop=0.0) as provider:
        assert (await answer(provider, ask())).text == "a b c d e"
    assert len(spawner.lives) == 1


async def test_death_in_the_middle_of_an_answer(models: Path, home: Path) -> None:
    """The stream that was open fails with how the child died, what it gave stays given; the next request works."""
    spawner = LlamaSpawner([Reply([Say("half"), Hang()]), text("whole")])
    async with running(spawner, models, home) as provider:
        taken = Taken()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def kill() -> None:
                await taken.some.wait()
                spawner.lives[0].die()

            with pytest.raises(ProviderDown, match="was killed by signal 9 before the answer was complete"):
                await answer(provider, ask(), taken)
        assert taken.text == "half"
        assert (await answer(provider, ask())).text == "whole"


async def test_death_while_idle(models: Path, home: Path) -> None:
    """Nobody notices but the next request, which starts another child."""
    spawner = LlamaSpawner([text("one"), text("two")])
    async with running(spawner, models, home) as provider:
        await answer(provider, ask())
        spawner.lives[0].die()
        await trio.testing.wait_all_tasks_blocked()
        assert provider.status()[0] == "idle"
        assert (await answer(provider, ask())).text == "two"


async def test_restart_budget(models: Path, home: Path) -> None:
    """A child that cannot start fails each request with its last words; after five within a minute no more are started."""
    spawner = LlamaSpawner([text("never")], stillborn="llama: out of memory")
    async with running(spawner, models, home) as provider:
        for _ in range(5):
            with pytest.raises(ProviderDown, match="did not start: llama: out of memory"):
                await answer(provider, ask())
        with pytest.raises(ProviderDown, match=r"died 5 times within 60 s; at last: .*out of memory") as caught:
            await answer(provider, ask())
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after <= 60
        assert provider.status()[0] == "unavailable"
    assert len(spawner.lives) == 5


async def test_stopping_fails_those_who_wait(models: Path, home: Path) -> None:
    """When the service ends, a request that waits for the start fails and does not hang; so does one that comes later."""
    spawner = LlamaSpawner([text("never")], ready=False)
    provider = LocalProvider(LocalConfig(), Timeouts(), str(models), str(home / "run"), spawner)
    async with trio.open_nursery() as nursery:
        service = trio.CancelScope()

        @nursery.start_soon
        async def serve() -> None:
            with service:
                await provider.run()

        @nursery.start_soon
        async def stop() -> None:
            await spawner.started.wait()
            service.cancel()

        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ProviderDown, match="stopping"):
            await answer(provider, ask())
    with pytest.raises(ProviderDown, match="stopping"):
        await answer(provider, ask())


async def test_answers_beyond_the_slots_wait_in_order(models: Path, home: Path) -> None:
    """A request for which no slot is free is sent when one is; its time to the first event counts from then."""
    spawner = LlamaSpawner([Reply([Say("held"), Hang()]), Reply([Say("held"), Hang()]), text("third")])
    third = Taken()
    async with running(spawner, models, home) as provider, trio.open_nursery() as nursery:
        async with trio.open_nursery() as held:
            for taken in (Taken(), Taken()):
                held.start_soon(answer, provider, ask(), taken)
                await taken.some.wait()
            nursery.start_soon(answer, provider, ask(), third)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert len(spawner.server.seen) == 2
            held.cancel_scope.cancel()
        with trio.fail_after(PATIENCE):
            await third.some.wait()


# --- requests and failures -------------------------------------------------------------------------------------------------------


async def test_request(models: Path, home: Path) -> None:
    """An answer that was cut goes on from its own last message; the length is capped, and the sampling is what was found best."""
    spawner = LlamaSpawner([text("three")])
    async with running(spawner, models, home) as provider:
        await answer(provider, ask("count", begun="one, two,", max_output=5000))
        await answer(provider, ask("count", max_output=7))
    first, second = (request.body for request in spawner.server.seen)
    assert first["messages"][-1] == {"role": "assistant", "content": "one, two,"}
    assert [body["max_tokens"] for body in (first, second)] == [512, 7]
    assert first["temperature"] == 0


async def test_limits_and_models(models: Path, home: Path) -> None:
    """What the router is told: a small context of text only, and one model that is there."""
    provider = LocalProvider(LocalConfig(context=2048), Timeouts(), str(models), str(home), LlamaSpawner([]))
    limits = provider.limits("smollm2-135m")
    assert (limits.context, limits.max_output, limits.family, limits.tools) == (2048, 512, "embedded", True)
    (info,) = await provider.models()
    assert (info.id, info.available) == ("local/smollm2-135m", True)


@pytest.mark.parametrize("size", [None, EMBEDDED.bytes - 1])
async def test_missing_weights(home: Path, size: int | None) -> None:
    """No weights, or a file cut short: a final error that says what to do, and no child."""
    if size is not None:
        with (home / EMBEDDED.file).open("wb") as file:
            file.truncate(size)
    spawner = LlamaSpawner([])
    async with running(spawner, home, home) as provider:
        with pytest.raises(BadRequest, match="agentctl model pull") as caught:
            await answer(provider, ask())
        assert not caught.value.retryable
        assert provider.status() == ("unavailable", local.MISSING)
        assert [info.available for info in await provider.models()] == [False]
    assert spawner.lives == []


async def test_unknown_model(models: Path, home: Path) -> None:
    """A name without a file: the error says which file it would be, and where to look."""
    async with running(LlamaSpawner([]), models, home) as provider:
        with pytest.raises(BadRequest, match=r"no model local/big: .*models/big\.gguf: No such file.*agentctl model list"):
            await answer(provider, Prompt(model="big", system="", messages=()))


TOO_LONG = error(400, "request (6027 tokens) exceeds the available context size (4096 tokens)", kind="exceed_context_size_error")


@pytest.mark.parametrize(
    ("failing", "expected", "sentence"),
    [
        (TOO_LONG, ContextTooLong, "4096 tokens"),
        (error(500, "no slot"), ProviderDown, "answered 500: no slot"),
        (Drop(), ProviderDown, "broke off the answer"),
        (Reply([Say("half"), Cut()]), ProviderDown, "broke off the answer"),
        (Reply([Say("half")], finish="", done=False), ProviderDown, "cut the reply off"),
        (Reply([Say("half"), Raw(b"data: {garbage\n\n"), Hang()]), ProviderDown, "no chat completion chunk"),
        (Reply([Event({"error": {"message": "decode failed", "type": "server_error"}}), Hang()]), ProviderDown, "decode failed"),
    ],
)
async def test_failures(models: Path, home: Path, failing: Answer, expected: type[Exception], sentence: str) -> None:
    """Whatever goes wrong is a ProviderError of its kind, at once, and the next request works."""
    spawner = LlamaSpawner([failing, text("next")])
    async with running(spawner, models, home) as provider:
        with pytest.raises(expected, match=sentence):
            await answer(provider, ask())
        assert (await answer(provider, ask())).text == "next"


@pytest.mark.parametrize(
    ("silent", "sentence"),
    [
        (Silent(), "nothing for 0.1 s"),
        (Reply([Say("half"), Hang()]), "nothing for 0.05 s"),
        (Reply([Pings()]), "nothing for 0.05 s"),
    ],
)
async def test_a_hung_child_is_replaced(models: Path, home: Path, silent: Answer, sentence: str) -> None:
    """Silence before the first event or between two, pings or not: the child is ended, and the next request has a new one."""
    spawner = LlamaSpawner([silent, text("next")])
    timeouts = Timeouts(first_event=0.1, between_events=0.05)
    async with running(spawner, models, home, timeouts) as provider:
        with pytest.raises(ProviderDown, match=sentence):
            await answer(provider, ask())
        assert (await answer(provider, ask())).text == "next"
    assert len(spawner.lives) == 2


async def test_the_step_has_an_end(models: Path, home: Path) -> None:
    """An answer that drips on for ever is ended by the step's limit; the child, which works, is kept."""
    spawner = LlamaSpawner([Reply([Say("drip " * 10_000, delay=0.01)]), text("next")])
    async with running(spawner, models, home, Timeouts(step=0.1)) as provider:
        with pytest.raises(ProviderDown, match=r"not done after 0\.1 s"):
            await answer(provider, ask())
        assert (await answer(provider, ask())).text == "next"
    assert len(spawner.lives) == 1


async def test_broken_after_the_last_word(models: Path, home: Path) -> None:
    """A connection that breaks behind the finish reason has lost nothing."""
    spawner = LlamaSpawner([Reply([Say("whole"), Event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}), Cut()])])
    async with running(spawner, models, home) as provider:
        taken = await answer(provider, ask())
    assert taken.deltas[-1] == Stop("end")


async def test_a_sink_that_raises(models: Path, home: Path) -> None:
    """What the caller's sink raises ends the exchange and reaches the caller as it is."""

    def full(deltas: Sequence[Delta]) -> None:
        raise MemoryError("full")

    spawner = LlamaSpawner([Reply([Say("half"), Hang()]), text("next")])
    async with running(spawner, models, home) as provider:
        with pytest.raises(MemoryError, match="full"):
            async with provider.stream(ask()) as stream:
                await stream.drain(full)
        assert (await answer(provider, ask())).text == "next"


async def test_a_strangers_directory_is_refused(models: Path, home: Path) -> None:
    """Where others could put a socket under our name nothing is started."""
    (home / "run" / "llm").mkdir(parents=True)
    (home / "run" / "llm").chmod(0o777)
    spawner = LlamaSpawner([])
    async with running(spawner, models, home) as provider:
        with pytest.raises(ProviderDown, match="mode 0700"):
            await answer(provider, ask())
    assert spawner.lives == []


# --- the real child with the real weights ----------------------------------------------------------------------------------------

LONG = "Write a very long story about a cat."


@pytest.fixture
def short() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="llm-"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.model
async def test_real_answers(weights: Path, home: Path) -> None:
    """Two first questions at once share a child and are answered; a cut answer is continued; a prompt too long is told apart."""
    async with running(TrioSpawner(), weights, home, context=1024) as provider:
        both = [Taken(), Taken()]
        async with trio.open_nursery() as nursery:
            for taken in both:
                nursery.start_soon(answer, provider, ask("What is the capital of France?"), taken)
        assert [taken.text for taken in both] == [both[0].text] * 2
        assert "Paris" in both[0].text
        assert both[0].deltas[-1] == Stop("end")
        folder = home / "run" / "llm"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert len(list(folder.iterdir())) == 1

        counted = await answer(provider, ask("Count from one to ten.", begun="One, two, three,", max_output=4))
        assert "four" in counted.text
        assert counted.deltas[-1] == Stop("length")
        with pytest.raises(ContextTooLong, match="1024"):
            await answer(provider, ask("word " * 2000))


@pytest.mark.model
async def test_cancelling_frees_the_slot(weights: Path, home: Path) -> None:
    """Leaving a stream in the middle stops the model's work on it."""
    async with running(TrioSpawner(), weights, home) as provider:
        with trio.CancelScope() as leaving:
            taken = Taken()

            def leave(deltas: Sequence[Delta]) -> None:
                taken(deltas)
                if taken.text:
                    leaving.cancel()

            async with provider.stream(ask(LONG)) as stream:
                await stream.drain(leave)
        assert leaving.cancelled_caught
        child = embedded(provider)
        assert child is not None
        with trio.fail_after(PATIENCE):
            while any(slot["is_processing"] for slot in (await child.http.get("/slots")).json()):
                await trio.lowlevel.checkpoint()


@pytest.mark.model
async def test_real_death_and_idle_stop(weights: Path, home: Path) -> None:
    """kill -9 in the middle of an answer fails that answer only; the next child ends by itself when idle, leaving no process."""
    async with running(TrioSpawner(), weights, home, idle_stop=0.0) as provider:
        taken = Taken()

        def kill(deltas: Sequence[Delta]) -> None:
            if not taken.some.is_set():
                taken(deltas)
                if taken.some.is_set():
                    victim = embedded(provider)
                    assert victim is not None
                    os.kill(victim.pid, signal.SIGKILL)

        with pytest.raises(ProviderDown, match="signal 9"):
            async with provider.stream(ask(LONG)) as stream:
                await stream.drain(kill)
        async with provider.stream(ask("hello", max_output=2)) as stream:
            child = embedded(provider)
            assert child is not None
            await stream.drain(taken)
        with trio.fail_after(PATIENCE):
            await child.ended.wait()
        assert isinstance(taken.deltas[-1], Stop)


def _start(weights: Path, folder: Path) -> subprocess.Popen[bytes]:
    numbers = ["--context", "512", "--slots", "1", "--threads", "1"]
    argv = [sys.executable, "-m", "agentd.providers.llama_child", "--model", str(weights / EMBEDDED.file), *numbers]
    pipe = subprocess.PIPE
    return subprocess.Popen([*argv, "--socket", str(folder / "a.sock")], stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)


@pytest.mark.model
@pytest.mark.parametrize("moment", ["before the key", "loading", "generating"])
def test_ends_with_its_parent(weights: Path, short: Path, moment: str) -> None:
    """At the end of stdin, which the kernel brings about however the daemon died, the child is gone, whatever it was doing."""
    with _start(weights, short) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        if moment != "before the key":
            child.stdin.write(b"k\n")
        if moment == "loading":
            while EMBEDDED.file not in Path(f"/proc/{child.pid}/maps").read_text():
                pass
        if moment == "generating":
            assert child.stdout.readline() == b"ready\n"
            transport = httpx2.HTTPTransport(uds=str(short / "a.sock"))
            body = {"messages": [{"role": "user", "content": LONG}], "stream": True, "ignore_eos": True}
            with httpx2.Client(transport=transport, base_url="http://llama", timeout=None) as client:
                assert client.post("/v1/chat/completions", json=body).status_code == 401
                with client.stream("POST", "/v1/chat/completions", json=body, headers={"Authorization": "Bearer k"}) as stream:
                    assert stream.status_code == 200
                    child.stdin.close()
                    child.wait(PATIENCE)
        child.stdin.close()
        assert child.wait(PATIENCE) == (1 if moment == "before the key" else -signal.SIGIO)


@pytest.mark.model
def test_says_why_it_cannot_load(short: Path) -> None:
    """A file that is no model: exit code 1 and the reason on stderr, nothing on stdout."""
    (short / EMBEDDED.file).write_bytes(b"GGUF, but not really")
    with _start(short, short) as child:
        assert child.stdin is not None
        child.stdin.write(b"k\n")
        assert child.wait(PATIENCE) == 1
        assert child.stdout is not None
        assert child.stdout.read() == b""
        assert child.stderr is not None
        assert b"failed to load model" in child.stderr.read()
