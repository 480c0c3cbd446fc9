"""model/test: which model it is, and that a test harms nobody. (model/pull: test_pulls.py; model/list: test_model_list.py.)"""

from __future__ import annotations

import pytest
import trio.testing

from agentd.core.api_models import ModelMethods
from agentd.core.pulls import Pulls
from agentd.core.routes import Alias
from agentwire import methods as m
from agentwire.errors import AuthFailed, BadRequest, InvalidParams
from tests.core.test_model_test import WELL
from tests.fakes.hosts import Bench, Host, Play, down
from tests.fakes.house import OWNER


def methods(bench: Bench, **defaults: str) -> ModelMethods:
    return ModelMethods(Pulls({}), bench.router, defaults)


async def report_of(found: ModelMethods, model: str) -> m.ModelChecked:
    answer = await found.handlers["model/test"](OWNER, m.CheckModel(model=model))
    assert isinstance(answer, m.ModelChecked)
    return answer


async def test_what_is_tested() -> None:
    """The default; an alias's first candidate; of a provider its default: the configured, the known one, or the first it lists."""
    hosts = [Host("a", *WELL), Host("b", *WELL), Host("c", *WELL, models=["first", "second"]), Host("d", *WELL)]
    found = methods(Bench(*hosts, aliases={"fast": Alias(models=("b/x", "a/y"))}), b="b/known")
    expected = {"": "a/one", "fast": "b/x", "a/": "a/one", "b/": "b/known", "c/": "c/first", "b/z": "b/z"}
    for asked, model in expected.items():
        for host in hosts:
            host.script = list(WELL)
        assert (await report_of(found, asked)).model == model
    assert (await report_of(found, "fast")).candidates == ("b/x", "a/y")
    for wrong in ("d/", "nobody/x", "nothing"):
        with pytest.raises(InvalidParams):
            await report_of(found, wrong)


async def test_a_provider_that_cannot_say_what_it_has() -> None:
    """That is a report, too: where it failed and what to do."""
    hosts = [Host("a"), Host("dead", models=down()), Host("pool", models=AuthFailed("revoked"), keys=2)]
    found = methods(Bench(*hosts))
    dead = await report_of(found, "dead/")
    assert (dead.model, dead.candidates) == ("dead/", ("dead/",))
    assert [one.outcome for one in dead.checks] == ["failed", *["skipped"] * 5]
    assert (dead.checks[0].name, dead.checks[0].detail, dead.checks[0].code) == ("connect", "down", "provider_down")
    assert "providers.dead.base_url" in dead.checks[0].remedy
    assert (await report_of(found, "pool/")).checks[0].detail == "key 1 of 2: revoked"


async def test_it_is_asked_directly() -> None:
    """Without failover, and a failure is nobody's circuit."""
    bench = Bench(Host("a", Play(entering=down())), Host("b"))
    await report_of(methods(bench), "a/one,b/two")
    assert (bench.asked, bench.router.circuits()) == (["a1", "b0"], ())


async def test_a_model_that_works_again_need_not_be_left_alone(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(Host("a", Play(entering=AuthFailed("no")), *WELL))
    with pytest.raises(AuthFailed):
        await bench.ask()
    assert bench.router.circuits()
    await report_of(methods(bench), "")
    assert bench.router.circuits() == ()


async def test_a_model_of_a_host_that_fetches(autojump_clock: trio.testing.MockClock) -> None:
    """The advice is to fetch it."""

    class Fetches:
        async def pull(self, model: str, report: object) -> None: ...

    bench = Bench(Host("a", Play(entering=BadRequest("not found"))))
    found = ModelMethods(Pulls({"a": Fetches()}), bench.router, {})
    assert "agentctl model pull a/one" in (await report_of(found, "")).checks[0].remedy
