"""The file tools in turns: through the real loop, ledger, permissions and store, with a scripted model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import trio
from attrs import evolve

from agentd.core.index import index_change
from agentd.core.permit import Policy, of_lists
from agentd.ports import NewEvent
from agentd.spawn import TrioSpawner
from agentd.store.opening import open_inline
from agentd.toolsources.files.source import FileTools
from agentwire.types import Access, Image, Text, ToolCall
from tests.core.logs import accepted, begun, created, planned, replied, started
from tests.fakes.house import SETTINGS, House, TrioClock, open_house
from tests.fakes.models import Ask, FakeModels, Say, count_results

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


def asks(*calls: tuple[str, dict[str, Any]]) -> FakeModels:
    """A model that makes one call after the other, then is done."""
    replies = [Ask([(tool, json.dumps(arguments))]) for tool, arguments in calls]
    return FakeModels(lambda prompt: replies[count_results(prompt)] if count_results(prompt) < len(replies) else Say(["done"]))


def results(house: House) -> list[tuple[str, str]]:
    """(outcome, text) of each call."""
    finished = [event.body for event in house.events if event.kind == "tool_finished"]
    return [(body.outcome, "".join(part.text for part in body.parts if isinstance(part, Text))) for body in finished]


async def turn(house: House, cwd: Path) -> list[tuple[str, str]]:
    live = await house.create(cwd=str(cwd))
    await house.prompt(live, "go")
    await house.idle(live)
    return results(house)


async def test_a_file_is_read_edited_and_written(tmp_path: Path) -> None:
    """The calls of a small piece of work, in the default mode, nobody being asked."""
    (tmp_path / "a.py").write_text("x = 1\ny = 2\n")
    models = asks(
        ("read", {"path": "a.py"}),
        ("edit", {"path": "a.py", "old": "x = 1", "new": "x = 10"}),
        ("write", {"path": "deep/down/b.py", "content": "z = 3\n"}),
        ("read", {"path": "deep"}),
    )
    async with open_house(models, FileTools(TrioSpawner(), umask=0o022)) as house:
        said = await turn(house, tmp_path)
    assert [outcome for outcome, _ in said] == ["ok"] * 4
    assert said[0][1] == "     1\tx = 1\n     2\ty = 2"
    assert "-x = 1\n+x = 10\n y = 2" in said[1][1]
    assert said[3][1] == "(a directory)\ndown/"
    assert (tmp_path / "a.py").read_text() == "x = 10\ny = 2\n"
    assert (tmp_path / "deep/down/b.py").read_text() == "z = 3\n"


async def test_what_the_policy_forbids_is_not_done(tmp_path: Path) -> None:
    """A rule about a path holds for the real path, whatever link leads there; what is outside needs a person."""
    root = tmp_path / "work"
    root.mkdir()
    (root / "secret").write_text("s")
    (root / "alias").symlink_to("secret")
    (tmp_path / "outside").write_text("o")
    models = asks(("read", {"path": "alias"}), ("read", {"path": "../outside"}), ("write", {"path": ".agentd/x", "content": ""}))
    policy = Policy(rules=of_lists(deny=[f"read({root}/secret)"], scope="configuration"))
    async with open_house(models, FileTools(TrioSpawner(), umask=0o022), settings=evolve(SETTINGS, policy=policy)) as house:
        said = await turn(house, root)
    assert [outcome for outcome, _ in said] == ["denied"] * 3


async def test_a_picture_is_a_part_of_the_result(tmp_path: Path) -> None:
    """It is stored with the session, and its event only refers to it."""
    (tmp_path / "p.png").write_bytes(PNG)
    async with open_house(asks(("read", {"path": "p.png"})), FileTools(TrioSpawner(), umask=0o022)) as house:
        live = await house.create(cwd=str(tmp_path))
        await house.prompt(live, "go")
        await house.idle(live)
        [finished] = [event.body for event in house.events if event.kind == "tool_finished"]
        picture = finished.parts[1]
        assert isinstance(picture, Image) and picture.media == "image/png"
        assert await house.store.get_blob(live.state.id, picture.blob, 0, 1000) == (PNG, len(PNG))


async def test_a_call_that_is_repeated_after_a_crash_changes_nothing_twice(tmp_path: Path) -> None:
    """The effect had happened, its outcome was lost: the turn goes on by itself, and the repeated calls leave the files alone."""
    (tmp_path / "edited").write_text("aa\n")
    (tmp_path / "written").write_text("new\n")
    made = {
        "edit": {"path": "edited", "old": "a", "new": "aa"},
        "write": {"path": "written", "content": "new\n"},
    }
    calls = tuple(ToolCall(id=tool, name=tool, arguments_json=json.dumps(arguments)) for tool, arguments in made.items())
    asked = evolve(replied("", stop="tool_calls"), parts=calls)
    bodies: list[Any] = [evolve(created(), cwd=str(tmp_path)), accepted(1), started(), asked]
    for call in calls:
        target = Access(kind="write", target=str(tmp_path / made[call.name]["path"]))
        plan = evolve(planned(call.id, effect="idempotent"), name=call.name, arguments_json=call.arguments_json, accesses=(target,))
        bodies += [plan, begun(call.id)]
    log = open_inline(index_change, TrioClock(), str(tmp_path / "log.db"))
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run, lambda _events: None)
        await log.append([NewEvent("a" * 32, "local", body) for body in bodies])
        log.close()
    models = FakeModels(lambda _prompt: Say(["done"]))
    async with open_house(models, FileTools(TrioSpawner(), umask=0o022), path=str(tmp_path / "log.db")) as house:
        await house.recover(resume=True, clean=False, grace=0)
        await house.idle(await house.sessions.open("local", "a" * 32))
        said = dict(zip(("edit", "write"), sorted(results(house)), strict=True))
        assert house.events[-1].body.outcome == "done"
    assert said["edit"][0] == "error" and "read it first" in said["edit"][1]
    assert said["write"][0] == "ok" and "already" in said["write"][1]
    assert (tmp_path / "edited").read_text() == "aa\n"
