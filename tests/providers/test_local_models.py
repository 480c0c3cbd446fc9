"""Several models on this machine: which there are, what is known of them, and how many are in memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from attrs import evolve

from agentd.ports import Prompt, Stop
from agentd.providers.catalog import Catalog
from agentd.providers.local import LocalProvider
from agentd.spawn import TrioSpawner
from agentwire.config import LocalConfig, Timeouts
from agentwire.errors import BadRequest, ProviderDown
from agentwire.weights import EMBEDDED
from tests.fakes.gguf import write_model
from tests.fakes.llama import LlamaProcess, LlamaSpawner
from tests.fakes.model_script import Hang, Reply, Say, text
from tests.providers.test_local import PATIENCE, Taken, answer, ask, running

HELD = Reply([Say("held"), Hang()])


@pytest.fixture
def models(home: Path) -> Path:
    """A folder with models a to d, and none embedded."""
    folder = home / "models"
    folder.mkdir()
    for name in "abcd":
        write_model(folder / f"{name}.gguf", name=name.upper())
    return folder


def to(model: str) -> Prompt:
    return evolve(ask(), model=model)


def alive(spawner: LlamaSpawner) -> list[str]:
    """The models whose processes are there."""
    return [_model(child) for child in spawner.lives if not child.ended.is_set()]


def _model(child: LlamaProcess) -> str:
    return Path(child.argv[child.argv.index("--model") + 1]).stem


def unstarted(models: Path, catalog: Catalog | None = None, **config: int) -> LocalProvider:
    return LocalProvider(LocalConfig(**config), Timeouts(), str(models), str(models), LlamaSpawner([]), catalog)


# --- which there are -------------------------------------------------------------------------------------------------------------


async def test_what_is_there(models: Path) -> None:
    """Every GGUF file is listed with its size and what it calls itself; one that is none says so, and nothing else is listed."""
    (models / "bad.gguf").write_bytes(b"no")
    (models / "notes.txt").write_text("no")
    found = {info.id: info for info in await unstarted(models).models()}
    assert list(found) == ["local/smollm2-135m", "local/a", "local/b", "local/bad", "local/c", "local/d"]
    assert found["local/a"].available
    assert found["local/a"].note == "0 MB, A"
    assert found["local/a"].price is not None
    assert not found["local/bad"].available
    assert "not a GGUF file" in found["local/bad"].note
    assert not found["local/smollm2-135m"].available
    assert unstarted(models).status()[0] == "idle"


@pytest.mark.parametrize("form", ["{0}/a.gguf", "{0}/../models/./a.gguf", "~/models/a.gguf", "a", "a.gguf"])
async def test_ways_to_name_a_file(models: Path, home: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """By its name in the folder, its whole path, or from the home directory: the same model, in the same process."""
    monkeypatch.setenv("HOME", str(home))
    spawner = LlamaSpawner([text("one"), text("two")])
    async with running(spawner, models, home) as provider:
        assert (await answer(provider, to("a"))).text == "one"
        assert (await answer(provider, to(form.format(models)))).text == "two"
        assert len(spawner.lives) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nope", r"models/nope\.gguf: No such file"),
        ("bad", "not a GGUF file"),
        ("/nowhere/x.gguf", "/nowhere/x.gguf: No such file"),
        ("sub/a", r"whole path: local//\.\.\./a"),
        ("../models/a", "whole path"),
        ("/", "not a file"),
    ],
)
async def test_what_cannot_be_used(models: Path, home: Path, name: str, said: str) -> None:
    """Missing, corrupt or outside without saying so: one final error with the remedy, and no process."""
    (models / "bad.gguf").write_bytes(b"GGUF, but not really")
    spawner = LlamaSpawner([])
    async with running(spawner, models, home) as provider:
        with pytest.raises(BadRequest, match=said) as caught:
            await answer(provider, to(name))
        assert "agentctl model list" in caught.value.message
        assert not caught.value.retryable
        assert provider.limits(name).context == 4096
    assert spawner.lives == []


# --- what is known of them -------------------------------------------------------------------------------------------------------


def test_limits(models: Path) -> None:
    """The context is the configured one, within what the file says; from 16k on a model gets the instructions of large ones."""
    write_model(models / "big.gguf", context=131_072)
    limits = unstarted(models, context=32_768).limits
    assert (limits("a").context, limits("a").family) == (8192, "embedded")
    assert (limits("big").context, limits("big").family, limits("big").max_output) == (32_768, "large", 4096)
    own = unstarted(models, Catalog({"local/big": {"context": 65_536, "max_output": 9000}})).limits
    assert (own("a").context, own("big").context, own("big").max_output) == (4096, 65_536, 9000)
    write_model(models / "a.gguf", context=2048)
    assert limits("a").context == 2048


async def test_sizes(models: Path) -> None:
    """Small ones in megabytes, large ones in gigabytes."""
    with (models / "b.gguf").open("ab") as file:
        file.truncate(1_240_000_000)  # takes no space
    with (models / "c.gguf").open("ab") as file:
        file.truncate(98_362_432)
    notes = {info.id: info.note for info in await unstarted(models).models()}
    assert (notes["local/b"], notes["local/c"]) == ("1.2 GB, B", "98 MB, C")


async def test_sampling_is_the_embedded_ones(models: Path, home: Path) -> None:
    """What was found best for the embedded model is not for others; the configured temperature is for all."""
    with (models / EMBEDDED.file).open("wb") as file:
        file.truncate(EMBEDDED.bytes)
    spawner = LlamaSpawner([text("hi")])
    async with running(spawner, models, home) as provider:
        for name in ("smollm2-135m", "a"):
            await answer(provider, to(name))
        provider._catalog = Catalog({"local/*": {"temperature": 0.3}})
        for name in ("smollm2-135m", "a"):
            await answer(provider, to(name))
    bodies = [request.body for request in spawner.server.seen]
    assert [body.get("temperature") for body in bodies] == [0, None, 0.3, 0.3]
    assert ["dry_multiplier" in body for body in bodies] == [True, False, True, False]


async def test_a_schema_is_the_servers(models: Path, home: Path) -> None:
    """The server holds the model to the schema; not the rest of a reply that has begun, which no schema fits."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    spawner = LlamaSpawner([text("hi")])
    async with running(spawner, models, home) as provider:
        await answer(provider, evolve(to("a"), schema=schema))
        await answer(provider, evolve(ask(begun='{"n":'), model="a", schema=schema))
    first, second = (request.body for request in spawner.server.seen)
    assert first["response_format"]["json_schema"]["schema"] == schema
    assert "response_format" not in second


# --- how many are in memory ------------------------------------------------------------------------------------------------------


async def test_side_by_side(models: Path, home: Path) -> None:
    """Two models answer at the same time, each from its own process on its own socket; the status shows both."""
    spawner = LlamaSpawner([HELD])
    async with running(spawner, models, home) as provider, trio.open_nursery() as nursery:
        for name in ("a", "b"):
            taken = Taken()
            nursery.start_soon(answer, provider, to(name), taken)
            await taken.some.wait()
        state, detail = provider.status()
        assert state == "ready"
        assert "a: pid 1000, 1 open" in detail
        assert "b: pid 1001, 1 open" in detail
        assert len({child.argv[child.argv.index("--socket") + 1] for child in spawner.lives}) == 2
        nursery.cancel_scope.cancel()


async def test_the_longest_idle_goes(models: Path, home: Path) -> None:
    """Beyond `max_loaded` the idle model that was used longest ago is gone before the next one starts."""
    spawner = LlamaSpawner([text("hi")])
    async with running(spawner, models, home, max_loaded=2) as provider:
        for name, there in [("a", "a"), ("b", "ab"), ("a", "ab"), ("c", "ac"), ("d", "cd"), ("c", "cd")]:
            await answer(provider, to(name))
            assert sorted(alive(spawner)) == sorted(there)
    assert alive(spawner) == []


async def test_busy_models_stay(models: Path, home: Path) -> None:
    """While all are busy a request for another waits, and what comes after it waits behind it; one that is left waits no more."""
    spawner = LlamaSpawner([HELD, HELD, text("third"), text("fourth")])
    order: list[str] = []
    async with running(spawner, models, home, max_loaded=2) as provider, trio.open_nursery() as nursery:
        scopes = {name: trio.CancelScope() for name in "abx"}

        async def hold(name: str, model: str, taken: Taken) -> None:
            with scopes[name]:
                await answer(provider, to(model), taken)

        async def want(name: str) -> None:
            await answer(provider, to(name))
            order.append(name)

        for name in "ab":
            taken = Taken()
            nursery.start_soon(hold, name, name, taken)
            await taken.some.wait()
        nursery.start_soon(hold, "x", "d", Taken())
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.start_soon(want, "c")
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.start_soon(want, "b")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert alive(spawner) == ["a", "b"]
        assert len(spawner.server.seen) == 2
        scopes["x"].cancel()
        scopes["a"].cancel()
        with trio.fail_after(PATIENCE):
            while len(order) < 2:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert sorted(alive(spawner)) == ["b", "c"]
        scopes["b"].cancel()


async def test_budgets_are_apart(models: Path, home: Path) -> None:
    """A model that dies five times is out for a while; another one is not."""
    spawner = LlamaSpawner([text("hi")], stillborn="llama: cannot load")
    async with running(spawner, models, home) as provider:
        for _ in range(5):
            with pytest.raises(ProviderDown, match="local/a's process did not start: llama: cannot load"):
                await answer(provider, to("a"))
        with pytest.raises(ProviderDown, match="died 5 times"):
            await answer(provider, to("a"))
        assert provider.status()[0] == "unavailable"
        spawner.stillborn = ""
        assert (await answer(provider, to("b"))).text == "hi"
        assert provider.status()[0] == "ready"


SAID = "{0}\nE llama_model_load: error loading model: {1}\nE srv    load_model: failed to load model, '{2}'\n{0}"


async def test_a_damaged_file_is_not_tried_again(models: Path, home: Path) -> None:
    """What llama.cpp finds wrong with a file is one final error that names it and the remedy, at once for whoever asks until the
    file has changed; it is no death of a process, and `model list` says it, too."""
    what = "tensor 'x' data is not within the file bounds, model is corrupted or incomplete"
    spawner = LlamaSpawner([text("hi")], stillborn=SAID.format("a log", what, models / "a.gguf"))
    async with running(spawner, models, home) as provider:
        said = ""
        for name in ("a", "a", f"{models}/a.gguf", *"aaaa"):
            with pytest.raises(
                BadRequest, match=f"local/a cannot be loaded from {models}/a.gguf: {what}.* Fetch it again"
            ) as caught:
                await answer(provider, to(name))
            assert not caught.value.retryable
            said = caught.value.message
        assert len(spawner.lives) == 1
        (listed,) = [info for info in await provider.models() if info.id == "local/a"]
        assert (listed.available, listed.note) == (False, said)
        write_model(models / "a.gguf", name="Whole, and longer")
        spawner.stillborn = ""
        assert (await answer(provider, to("a"))).text == "hi"
        assert len(spawner.lives) == 2


async def test_a_damaged_file_is_found_by_one_for_all(models: Path, home: Path) -> None:
    """Those who wait for the start, or for their turn, get the same error; nobody starts it once more."""
    spawner = LlamaSpawner([], stillborn=SAID.format("", "unknown model architecture: 'x'", "a.gguf"))
    failures: list[str] = []

    async def one() -> None:
        with pytest.raises(BadRequest) as caught:
            await answer(provider, to("a"))
        failures.append(caught.value.message)

    async with running(spawner, models, home) as provider, trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(one)
    assert len(set(failures)) == 1
    assert len(failures) == 6
    assert len(spawner.lives) == 1


@pytest.mark.parametrize("what", ["unable to allocate CPU buffer", "mmap failed: Cannot allocate memory", "failed to open a.gguf"])
async def test_a_machine_without_room_says_nothing_of_the_file(models: Path, home: Path, what: str) -> None:
    """Memory may be free the next time: such a start is tried again."""
    spawner = LlamaSpawner([], stillborn=SAID.format("", what, models / "memory.gguf"))
    async with running(spawner, models, home) as provider:
        for _ in range(2):
            with pytest.raises(ProviderDown, match=f"did not start: {what}"):
                await answer(provider, to("a"))
    assert len(spawner.lives) == 2


async def test_a_dead_model_makes_room(models: Path, home: Path) -> None:
    """A process that died while idle is not counted; the others stay."""
    spawner = LlamaSpawner([text("hi")])
    async with running(spawner, models, home, max_loaded=2) as provider:
        for name in "ab":
            await answer(provider, to(name))
        spawner.lives[1].die()
        await trio.testing.wait_all_tasks_blocked()
        await answer(provider, to("c"))
        assert alive(spawner) == ["a", "c"]


async def test_prewarm_loads_what_was_used(models: Path, home: Path) -> None:
    """The default model before anything was asked, later the one that was asked last; never more than may be."""
    spawner = LlamaSpawner([text("hi")])
    provider = LocalProvider(
        LocalConfig(max_loaded=1, idle_stop=0.0), Timeouts(), str(models), str(home / "run"), spawner, first="b"
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(provider.run)
        await provider.prewarm()
        await answer(provider, to("c"))
        await provider.prewarm()
        nursery.cancel_scope.cancel()
    assert [_model(child) for child in spawner.lives][:2] == ["b", "c"]
    assert {_model(child) for child in spawner.lives[2:]} <= {"c"}


# --- the real child --------------------------------------------------------------------------------------------------------------


@contextmanager
def copied(weights: Path, folder: Path) -> Iterator[Path]:
    """The embedded model under another name, beside itself."""
    folder.mkdir()
    (folder / EMBEDDED.file).symlink_to(weights / EMBEDDED.file)
    shutil.copy(weights / EMBEDDED.file, folder / "other.gguf")
    yield folder
    (folder / "other.gguf").unlink()


@pytest.mark.model
async def test_real_models(weights: Path, home: Path) -> None:
    """Two models in two real processes; with room for one, each makes room for the other; a cut file says so."""
    with copied(weights, home / "models") as folder:
        (folder / "cut.gguf").write_bytes((folder / "other.gguf").read_bytes()[:5_000_000])
        question = ask("What is the capital of France?", max_output=12)
        async with running(TrioSpawner(), folder, home, context=1024) as provider:
            for name in ("smollm2-135m", "other"):
                taken = await answer(provider, evolve(question, model=name))
                assert taken.text
                assert isinstance(taken.deltas[-1], Stop)
            first, second = (model.child for model in provider._models.values())
            assert first is not None
            assert second is not None
            assert first.pid != second.pid
            assert f"other: pid {second.pid}, 0 open, " in provider.status()[1]
        async with running(TrioSpawner(), folder, home, context=1024, max_loaded=1) as provider:
            for name in ("smollm2-135m", "other", "smollm2-135m"):
                assert (await answer(provider, evolve(question, model=name))).text
                assert [model.served.name for model in provider._models.values() if model.child] == [name]
            for _ in range(2):
                with pytest.raises(
                    BadRequest, match=r"local/cut cannot be loaded from .*/cut.gguf: tensor .*corrupt.*incomplete\."
                ):
                    await answer(provider, evolve(question, model="cut"))
