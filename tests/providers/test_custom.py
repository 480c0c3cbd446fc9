"""A provider of the user's own: found by path, checked, and told what is wrong with it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from agentd.ports import Message, Prompt
from agentd.providers.custom import load
from agentwire.config import ProviderConfig, Timeouts
from agentwire.errors import ConfigError
from agentwire.types import Text
from tests.providers.scenes import ask

DOCS = Path(__file__).parents[2] / "docs" / "models.md"


def example() -> str:
    """The class in the documentation."""
    found = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "parrot.py"
    file.write_text(example())
    return file


async def parroted(path: str) -> str:
    provider = load("parrot", ProviderConfig(path=path), Timeouts())
    words = Message("user", (Text(text="Hello!"),))
    reply = await ask(provider, Prompt(model="grey", system="", messages=[words]))
    assert (reply.stop, provider.keys, [info.id for info in await provider.models()]) == ("end", 1, ["parrot/grey"])
    await provider.aclose()
    return reply.text


async def test_file(file: Path) -> None:
    """The example of the documentation is a provider."""
    assert await parroted(f"{file}:Parrot") == "Hello!"


async def test_module(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(file.parent))
    assert await parroted("parrot:Parrot") == "Hello!"
    del sys.modules["parrot"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("class Parrot", "class Cuckoo"), "no class Parrot there"),
        (('name = "parrot"', 'name = "cuckoo"'), "it calls itself 'cuckoo', and is configured as 'parrot'"),
        (('name = "parrot"', "size = 1"), "it has no `name`"),
        (("keys = 1", "keys = 0"), "its `keys` is not the number of its API keys"),
        (("def limits", "def borders"), "it has no method limits"),
        (("async def models", "def models"), "models must be `async def`"),
        (("class Parrot", "1 / 0\nclass Parrot"), "ZeroDivisionError: division by zero"),
        (("class Parrot", "class Parrot("), "SyntaxError"),
        (("def __init__(self, config", "def __init__(self, a, b, config"), "TypeError"),
        (("import trio\n", "import trio, no_such_module\n"), "ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_is_said(file: Path, change: tuple[str, str], said: str) -> None:
    """With the key to look at. Nothing of a module that failed stays."""
    text = file.read_text()
    assert change[0] in text
    file.write_text(text.replace(*change))
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        load("parrot", ProviderConfig(path=f"{file}:Parrot"), Timeouts())
    assert caught.value.message.startswith(f"providers.parrot.path: {file}:Parrot: ")


@pytest.mark.parametrize("path", ["/no/such/file.py:Parrot", "no_such_package.module:Parrot"])
def test_nothing_there(path: str) -> None:
    with pytest.raises(ConfigError, match=r"providers\.parrot\.path"):
        load("parrot", ProviderConfig(path=path), Timeouts())
