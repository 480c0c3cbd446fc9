"""Functions inside of walls: they see their folder and Python, change neither, and reach only what the call may."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from agentd.ports import Sandbox, ToolContext
from agentd.spawn import TrioSpawner
from agentd.toolsources.functions import FunctionTools
from agentd.toolsources.sandbox import bubblewrap
from agentd.toolsources.sandbox.bubblewrap import Bubblewrap
from agentwire.types import Text
from tests.fakes.walls import SECRET, Place, with_network

HEAD = "import os, socket, subprocess\nfrom agentd.tool import tool\n"


class Folder:
    """A tools folder in what is hidden, as the configuration's is."""

    def __init__(self, place: Place, modules: tuple[str, ...] = ()) -> None:
        self.place = place
        self.path = place.workspace / "hidden/tools"
        self.path.mkdir()
        self.tools = FunctionTools(str(self.path), place.spawner, lambda: modules, walled=True)

    async def offer(self, source: str) -> FunctionTools:
        (self.path / "a.py").write_text(HEAD + source)
        await self.tools.refresh()
        return self.tools

    async def call(self, name: str = "f", /, walls: Sandbox | None = None, **arguments: Any) -> tuple[str, str]:
        context = ToolContext(call="c", session="s", cwd=str(self.place.workspace), sandbox=walls or self.place.walls)
        outcome = await self.tools.call(name, arguments, context)
        (part,) = outcome.parts
        assert isinstance(part, Text)
        return outcome.outcome, part.text


@pytest.fixture(name="folder")
def _folder(place: Place) -> Folder:
    return Folder(place)


async def test_it_works(folder: Folder) -> None:
    """Helpers beside the file, Python's libraries, the workspace; it is declared whether the network is needed."""
    (folder.path / "_helper.py").write_text("def help(): return 'help'\n")
    tools = await folder.offer(
        "import json, attrs\nfrom _helper import help\n"
        "@tool\ndef f(x: int): open('made', 'w').write('x'); return [x, help(), os.getcwd()]\n"
        "@tool(network=True)\ndef g(): ...\n"
    )
    assert [(spec.name, spec.network) for spec in tools.specs()] == [("f", False), ("g", True)]
    assert await folder.call(x=1) == ("ok", f'[1, "help", "{folder.place.workspace}"]')
    assert (folder.place.workspace / "made").read_text() == "x"


REACHES = {
    "a secret outside": "return open({outside!r} + '/secret').read()",
    "a hidden file": "return open('hidden/data').read()",
    "its own folder": "return open({folder!r} + '/new.py', 'w').write('x')",
    "its own file": "return open(__file__, 'a').write('x')",
    "the daemon": "return os.kill({pid}, 0)",
    "a port": "socket.create_connection(('127.0.0.1', {port}))",
    "Python": "return open(tool.__code__.co_filename, 'a').write('')",
}


@pytest.mark.parametrize("body", REACHES.values(), ids=REACHES)
@pytest.mark.parametrize("when", ["called", "described"])
async def test_what_it_cannot_reach(folder: Folder, body: str, when: str) -> None:
    """Neither a call nor, already, the import of the file when its tools are looked up reaches beyond the walls."""
    place = folder.place
    line = body.format(outside=str(place.outside), folder=str(folder.path), pid=os.getpid(), port=place.port)
    with capture_logs() as logs:
        await folder.offer(f"def reach(): {line}\n{'reach()' if when == 'described' else ''}\n@tool\ndef f(): return reach()\n")
    if when == "described":
        assert folder.tools.specs() == () and any(error in logs[0]["problem"] for error in ("Error", "OSError"))
    else:
        outcome, text = await folder.call()
        assert outcome == "error" and SECRET not in text
    assert sorted(path.name for path in folder.path.iterdir()) == ["a.py"]


async def test_describing_changes_nothing(folder: Folder) -> None:
    """An import may write only what is thrown away."""
    await folder.offer("open('/tmp/x', 'w').write('x')\n@tool\ndef f(): return os.path.exists('/tmp/x')\n")
    assert [spec.name for spec in folder.tools.specs()] == ["f"]


async def test_the_network_if_the_call_has_it(folder: Folder) -> None:
    """What is allowed to use the network reaches it."""
    await folder.offer("@tool(network=True)\ndef f(port: int): socket.create_connection(('127.0.0.1', port)); return 'reached'\n")
    assert await folder.call(walls=with_network(folder.place.walls), port=folder.place.port) == ("ok", "reached")


async def test_it_leaves_nothing_behind(folder: Folder) -> None:
    """Also what made itself a session of its own ends with the call."""
    await folder.offer(
        "@tool\ndef f():\n    subprocess.Popen(['setsid', 'sleep', '1000'])\n    return open('/proc/self/stat').read().split()[0]\n"
    )
    before = _sleepers()
    assert await folder.call() == ("ok", "2")
    assert _sleepers() == before


@pytest.mark.parametrize(
    ("body", "said"), [("os._exit(3)", "exit code 3"), ("os.kill(os.getpid(), 9)", "killed by signal 9 (Killed)")]
)
async def test_its_death_is_told(folder: Folder, body: str, said: str) -> None:
    """As without walls."""
    await folder.offer(f"@tool\ndef f(): {body}\n")
    outcome, text = await folder.call()
    assert outcome == "error" and said in text


async def test_in_bypass_and_in_plan(folder: Folder) -> None:
    """With everything allowed it writes anywhere; in plan nowhere."""
    await folder.offer("@tool\ndef f(path: str): return open(path, 'w').write('x')\n")
    outside = str(folder.place.outside / "new")
    assert await folder.call(walls=Sandbox(whole=True, network=True), path=outside) == ("ok", "1")
    walls = Sandbox(read=(str(folder.place.workspace),))
    assert (await folder.call(walls=walls, path="new"))[0] == "error"


# --- modules ---------------------------------------------------------------------------------------------------------------------


async def test_modules_by_dotted_path(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module's functions are offered beside the folder's, and called by its own name; changed, they are described again."""
    package = place.outside / "library/mine"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "words.py").write_text("TEXT = 'hi'\n")
    source = "from agentd.tool import tool\nfrom .words import TEXT\n@tool\ndef {name}(): return [TEXT, __name__]\n"
    (package / "greet.py").write_text(source.format(name="hello"))
    monkeypatch.syspath_prepend(str(place.outside / "library"))
    folder = Folder(place, ("mine.greet", "mine.missing"))
    with capture_logs() as logs:
        await folder.offer("@tool\ndef f(): ...\n")
    assert [spec.name for spec in folder.tools.specs()] == ["f", "hello"]
    assert [(said["file"], "No module named" in said["problem"]) for said in logs] == [("mine.missing", True)]
    assert await folder.call("hello") == ("ok", '["hi", "mine.greet"]')
    (package / "greet.py").write_text(source.format(name="goodbye"))
    await folder.tools.refresh()
    assert [spec.name for spec in folder.tools.specs()] == ["f", "goodbye"]


# --- no walls to be had ----------------------------------------------------------------------------------------------------------


async def test_without_walls_nothing_is_offered(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is not even described; said once; and as soon as there are walls, it is."""
    programs = bubblewrap.programs
    monkeypatch.setattr(bubblewrap, "programs", list)
    tools = FunctionTools(str(folder.path), TrioSpawner(walls=Bubblewrap(str(tmp_path / "cache"))), walled=True)
    (folder.path / "a.py").write_text(HEAD + "@tool\ndef f(): ...\n")
    with capture_logs() as logs:
        await tools.refresh()
        await tools.refresh()
    assert tools.specs() == ()
    assert [said["event"] for said in logs] == ["no_sandbox", "functions_not_offered"]
    monkeypatch.setattr(bubblewrap, "programs", programs)
    await tools.refresh()
    assert [spec.name for spec in tools.specs()] == ["f"]


def _sleepers() -> int:
    found = 0
    for entry in Path("/proc").iterdir():
        try:
            found += entry.name.isdigit() and b"sleep\x001000\x00" in (entry / "cmdline").read_bytes()
        except OSError:
            continue
    return found
