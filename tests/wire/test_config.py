"""Where a value comes from, which one wins, and what the default model is."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs.exceptions import FrozenInstanceError

from agentwire.config import DEFAULT_MODELS, KEYS, LOCAL_MODEL, OPENAI_MODEL, SYSTEM_FILE, TABLE, Config, LogConfig, Timeouts, load
from agentwire.errors import ConfigError

ROOT = Path(__file__).parents[2]
HOME = {"AGENTD_HOME": "/h"}
USER_FILE, ENV_FILE = "/h/config/config.toml", "/h/config/.env"
SECRET = "sk-proj-0123456789abcdef"


def configure(environ: dict[str, str] | None = None, overrides: Sequence[str] = (), **files: str) -> Config:
    """The configuration below /h; `system`, `user` and `env` are the texts of the three files."""
    places = {"system": SYSTEM_FILE, "user": USER_FILE, "env": ENV_FILE}
    texts = {places[name]: text for name, text in files.items()}
    return load(HOME | (environ or {}), overrides, read=texts.get)


def source(loaded: Config, key: str) -> str:
    return next(value.source for value in loaded.values if value.key == key)


def test_built_in() -> None:
    """Without any source everything has its default and says so."""
    loaded = configure()
    assert (loaded.log, loaded.turn.max_steps, loaded.timeouts.first_event) == (LogConfig("info", "text", ""), 100, 120)
    assert loaded.permissions.deny == ()
    assert {value.source for value in loaded.values} == {"built-in"}
    assert loaded.warnings == ()
    assert loaded.paths.config_file == USER_FILE


LAYERS = [
    ("system", "debug", SYSTEM_FILE),
    ("user", "info", USER_FILE),
    ("env", "warning", f"{ENV_FILE} (LOG_LEVEL)"),
    ("environ", "error", "environment (LOG_LEVEL)"),
    ("override", "debug", "-c"),
]


@pytest.mark.parametrize("top", range(1, len(LAYERS) + 1))
def test_precedence(top: int) -> None:
    """built-in < /etc < user file < .env < environment < -c; each value names the source that won."""
    given = {name: level for name, level, _ in LAYERS[:top]}
    texts: dict[str, str] = {name: f'log.level = "{given[name]}"' for name in ("system", "user") if name in given}
    texts |= {"env": f"LOG_LEVEL={given['env']}"} if "env" in given else {}
    loaded = configure(
        {"LOG_LEVEL": given["environ"]} if "environ" in given else {},
        [f"log.level={given['override']}"] if "override" in given else [],
        **texts,
    )
    _, level, place = LAYERS[top - 1]
    assert loaded.log.level == level
    assert source(loaded, "log.level") == place


@pytest.mark.parametrize(
    ("environ", "level"),
    [
        ({"AGENTD_LOG_LEVEL": "error", "LOG_LEVEL": "info", "DEBUG": "1"}, "error"),
        ({"LOG_LEVEL": "warn", "DEBUG": "1"}, "warning"),
        ({"DEBUG": "true"}, "debug"),
        ({"DEBUG": "app:*"}, "info"),
        ({"LOG_LEVEL": " ", "DEBUG": "0"}, "info"),
    ],
)
def test_names_of_one_key(environ: dict[str, str], level: str) -> None:
    """Our own name counts before the common one; empty is not set; DEBUG counts last and only as a plain yes."""
    assert configure(environ).log.level == level


def test_every_kind_of_key_can_be_set_everywhere() -> None:
    """Numbers, words, lists and nested keys from a file, the environment and overrides."""
    text = """
        [turn]
        max_steps = 5
        [permissions]
        deny = ["shell(rm *)"]
        [providers.local]
        threads = 3
    """
    loaded = configure(
        {"AGENTD_TURN_RESUME": "never", "AGENTD_TIMEOUTS_STEP": "1.5"},
        ["turn.max_steps=7", 'permissions.ask=["read"]', "providers.local.context=2048", "daemon.unload_after = 0"],
        user=text,
    )
    assert (loaded.turn.max_steps, loaded.turn.resume, loaded.timeouts.step, loaded.daemon.unload_after) == (7, "never", 1.5, 0)
    assert (loaded.permissions.deny, loaded.permissions.ask) == (("shell(rm *)",), ("read",))
    assert (loaded.providers.local.threads, loaded.providers.local.context) == (3, 2048)


def test_lists_are_replaced_not_joined() -> None:
    """The later source's list is the list."""
    loaded = configure(system='permissions.allow = ["read", "list"]', user='permissions.allow = ["read"]')
    assert loaded.permissions.allow == ("read",)


@pytest.mark.parametrize(
    ("environ", "user", "model", "place"),
    [
        ({}, "", LOCAL_MODEL, "built-in"),
        ({"OPENAI_API_KEY": SECRET}, "", OPENAI_MODEL, "built-in, because providers.openai.api_key is set"),
        ({"OPENAI_BASE_URL": "http://h/v1"}, "", OPENAI_MODEL, "built-in, because providers.openai.base_url is set"),
        ({}, f'providers.openai.api_key = "{SECRET}"', OPENAI_MODEL, "built-in, because providers.openai.api_key is set"),
        (
            {"OPENAI_API_KEY": SECRET, "DEFAULT_MODEL_PROVIDER": "local"},
            "",
            LOCAL_MODEL,
            "default_provider from environment (DEFAULT_MODEL_PROVIDER)",
        ),
        ({"DEFAULT_MODEL_PROVIDER": "OpenAI"}, "", OPENAI_MODEL, "default_provider from environment (DEFAULT_MODEL_PROVIDER)"),
        ({"ANTHROPIC_API_KEY": "k"}, "", DEFAULT_MODELS["anthropic"], "built-in, because providers.anthropic.api_key is set"),
        ({"DEEPSEEK_API_KEY_2": "k"}, "", DEFAULT_MODELS["deepseek"], "built-in, because providers.deepseek.api_keys is set"),
        (
            {"DASHSCOPE_API_KEY": "k", "OLLAMA_HOST": ":1"},
            "",
            DEFAULT_MODELS["qwen"],
            "built-in, because providers.qwen.api_key is set",
        ),
        ({"OLLAMA_HOST": "h"}, "", DEFAULT_MODELS["ollama"], "built-in, because providers.ollama.base_url is set"),
        ({"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}, "", OPENAI_MODEL, "built-in, because providers.openai.api_key is set"),
        ({}, 'model = "fast"\nmodels.fast = ["qwen/b"]', "fast", USER_FILE),
        ({}, 'model = "openai/x, fast"\nmodels.fast = "qwen/b"', "openai/x, fast", USER_FILE),
        ({"DEFAULT_MODEL_PROVIDER": "local"}, 'model = "openai/x"', "openai/x", USER_FILE),
        ({"AGENTD_MODEL": "openai/y"}, 'model = "openai/x"', "openai/y", "environment (AGENTD_MODEL)"),
    ],
)
def test_default_model(environ: dict[str, str], user: str, model: str, place: str) -> None:
    """A model that is named wins; then the provider that is named; then what there is a key or a server for; then the local one."""
    loaded = configure(environ, user=user)
    assert loaded.model == model
    assert source(loaded, "model") == place


def test_openai_default_is_a_model_of_the_sdk() -> None:
    """The name stands in the installed SDK's list, which is read and not imported: importing it takes a second."""
    found = importlib.util.find_spec("openai")
    assert found is not None
    assert found.origin is not None
    listed = (Path(found.origin).parent / "types/shared/chat_model.py").read_text()
    names = {node.value for node in ast.walk(ast.parse(listed)) if isinstance(node, ast.Constant)}
    assert OPENAI_MODEL.removeprefix("openai/") in names


def test_keys_of_a_provider_are_a_pool() -> None:
    """The plain one first, then those with numbers, in order and each once; they replace a file's list, as any later list does."""
    keys = {
        "OPENAI_API_KEY_10": "d",
        "OPENAI_API_KEY": "a",
        "OPENAI_API_KEY_2": "b",
        "OPENAI_API_KEY_3": "a",
        "OPENAI_API_KEY_4": " ",
    }
    assert configure(keys).providers.openai.pool == ("a", "b", "d")
    listed = configure({"QWEN_API_KEY": "x"}, user='providers.qwen = {api_key = "a", api_keys = ["b", "x"]}')
    assert listed.providers.qwen.pool == ("x", "b")
    both = configure({"DASHSCOPE_API_KEY_1": "c"}, user='providers.qwen.api_keys = ["b"]', env="QWEN_API_KEY_7=d")
    assert both.providers.qwen.pool == ("c",)
    assert source(both, "providers.qwen.api_keys") == "environment (DASHSCOPE_API_KEY_1)"


def test_providers_of_ones_own() -> None:
    """Any name with a base URL, from a file, -c or variables of our own; - in its name is _ in these."""
    text = """
        [providers.my-lab]
        dialect = "anthropic"
        base_url = "http://lab/v1"
        headers = {X-Team = "${TEAM}", Authorization = "Bearer secret-0123456789"}
    """
    environ = {"TEAM": "blue", "AGENTD_PROVIDERS_MY_LAB_API_KEY_1": "k1", "AGENTD_PROVIDERS_OTHER_BASE_URL": "http://o"}
    loaded = configure(environ, ["providers.third.path=my.code:Models"], user=text)
    lab, other, third = (loaded.providers.others[name] for name in ("my-lab", "other", "third"))
    assert (lab.dialect, lab.base_url, lab.pool, lab.headers["X-Team"]) == ("anthropic", "http://lab/v1", ("k1",), "blue")
    assert (other.base_url, third.path) == ("http://o", "my.code:Models")
    assert loaded.providers.usable == ("my-lab", "other", "third", "local")
    values = {value.key: (value.value, value.source) for value in loaded.values}
    assert values["providers.my-lab.headers"] == ({"X-Team": "***", "Authorization": "Bea…6789"}, USER_FILE)
    assert values["providers.my-lab.api_keys"] == (["***"], "environment (AGENTD_PROVIDERS_MY_LAB_API_KEY_1)")
    assert "secret" not in repr(loaded) and loaded.warnings == ()


def test_aliases() -> None:
    """A string, a list, or a table with weights and a strategy; a later source sets what it says."""
    text = """
        [models]
        one = "openai/x"
        two = ["openai/x", "one"]
        [models.three]
        candidates = [{model = "openai/x", weight = 2}, "anthropic/y"]
        strategy = "round_robin"
    """
    loaded = configure(overrides=["models.one=qwen/b, ollama/d", "models.three.strategy=least_busy"], user=text)
    made = {name: (alias.candidates, alias.strategy) for name, alias in loaded.models.items()}
    assert made == {
        "one": ((("qwen/b", 1), ("ollama/d", 1)), "failover"),
        "two": ((("openai/x", 1), ("one", 1)), "failover"),
        "three": ((("openai/x", 2), ("anthropic/y", 1)), "least_busy"),
    }
    values = {value.key: (value.value, value.source) for value in loaded.values}
    assert values["models.one.candidates"] == (["qwen/b", "ollama/d"], "-c")
    assert values["models.three.candidates"] == ([{"model": "openai/x", "weight": 2}, "anthropic/y"], USER_FILE)


def test_parameters_of_models() -> None:
    """By name or pattern; only what is said is there; -c needs no quotes around a name."""
    text = """
        [parameters."openai/gpt-4.1*"]
        temperature = 0
        quirks = ["no-temperature"]
        extra = {seed = 1, nested = {a = ["b"]}}
    """
    given = ["parameters.openai/gpt-4.1.context=9000", 'parameters."openai/gpt-4.1".thinking=true', "parameters.*.effort=low"]
    loaded = configure(overrides=given, user=text)
    assert {name: dict(one.told) for name, one in loaded.parameters.items()} == {
        "openai/gpt-4.1*": {"temperature": 0.0, "quirks": ("no-temperature",), "extra": {"seed": 1, "nested": {"a": ["b"]}}},
        "openai/gpt-4.1": {"context": 9000, "thinking": True},
        "*": {"effort": "low"},
    }
    assert source(loaded, 'parameters."openai/gpt-4.1*".temperature') == USER_FILE
    assert configure({"MAX_CONTEXT_LENGTH": "50000"}).max_context == 50_000


def test_where_ollama_is() -> None:
    """OLLAMA_HOST as Ollama itself reads it; a base URL of our own counts before it."""
    assert configure({"OLLAMA_HOST": "0.0.0.0"}).providers.ollama.base_url == "http://127.0.0.1:11434"
    both = configure({"OLLAMA_HOST": "h", "OLLAMA_BASE_URL": "https://o"})
    assert both.providers.ollama.base_url == "https://o"


def test_paths_are_relative_to_what_set_them() -> None:
    """To the file's directory; from the environment and -c to the data directory; a tilde is the home directory."""
    assert configure(user='log.file = "a/../b.log"').log.file == "/h/config/b.log"
    assert configure(system='log.file = "b.log"').log.file == "/etc/agentd/b.log"
    assert configure(env="LOG_FILE=b.log").log.file == "/h/config/b.log"
    assert configure({"LOG_FILE": "b.log"}).log.file == "/h/data/b.log"
    assert configure(overrides=["log.file=b.log"]).log.file == "/h/data/b.log"
    assert configure({"LOG_FILE": "~/b.log", "HOME": "/home/u"}).log.file == "/home/u/b.log"


@pytest.mark.parametrize(
    ("environ", "files"),
    [
        ({"OPENAI_API_KEY": SECRET}, {}),
        ({}, {"user": f'providers.openai.api_key = "{SECRET}"'}),
        ({}, {"env": f"OPENAI_API_KEY='{SECRET}'"}),
    ],
)
def test_secrets_are_masked(environ: dict[str, str], files: dict[str, str]) -> None:
    """The key is in the one field that needs it, and in no repr and no list of values."""
    loaded = configure(environ, **files)
    assert loaded.providers.openai.api_key == SECRET
    assert SECRET not in repr(loaded)
    assert SECRET not in repr(loaded.providers.openai)
    assert "sk-…cdef" in [value.value for value in loaded.values]


@pytest.mark.parametrize(
    ("environ", "files", "name", "value"),
    [
        ({"OPENAI_API_KEY": SECRET}, {}, "OPENAI_API_KEY", SECRET),
        ({}, {"env": f"OPENAI_API_KEY={SECRET}"}, "OPENAI_API_KEY", SECRET),
        ({}, {"user": f'providers.openai.api_key = "{SECRET}"'}, "OPENAI_API_KEY", SECRET),
        ({"OPENAI_API_KEY_2": SECRET}, {}, "OPENAI_API_KEY_2", SECRET),
        ({}, {"env": f"OPENAI_API_KEY_2={SECRET}"}, "OPENAI_API_KEY_2", SECRET),
        ({}, {"user": f'providers.openai.api_keys = ["{SECRET}"]'}, "OPENAI_API_KEY_1", SECRET),
        ({}, {"env": "OLLAMA_HOST=box"}, "OLLAMA_HOST", "box"),
        ({"AGENTD_PROVIDERS_MINE_BASE_URL": "http://m"}, {}, "AGENTD_PROVIDERS_MINE_BASE_URL", "http://m"),
        ({"HTTPS_PROXY": "http://p"}, {}, "HTTPS_PROXY", "http://p"),
        ({}, {}, "LOG_LEVEL", "info"),
        ({}, {}, "OPENAI_API_KEY", None),
        ({}, {"env": "HTTPS_PROXY=http://p"}, "HTTPS_PROXY", None),
        ({"PATH": "/bin"}, {}, "PATH", None),
    ],
)
def test_environment_in_force(environ: dict[str, str], files: dict[str, str], name: str, value: str | None) -> None:
    """A client is compared with what is in force, wherever it came from: a key in the user's file is no other key."""
    assert configure(environ, **files).environment.get(name) == value


def test_config_is_frozen() -> None:
    """It is what the daemon was started with."""
    loaded = configure()
    with pytest.raises(FrozenInstanceError):
        loaded.turn.max_steps = 1  # type: ignore[misc]


def test_wrong_values_cannot_be_built() -> None:
    """Not by code either: the constructors check, and give defaults where nothing is said."""
    assert Timeouts(connect=1).connect == 1.0
    with pytest.raises(ValueError, match="expected a number of seconds"):
        Timeouts(step=0)


def test_keys_are_derived_from_the_classes() -> None:
    """Dotted names; a variable of our own for everything but lists; a doc for each; one secret."""
    assert set(KEYS) >= {"model", "log.level", "turn.max_steps", "providers.openai.api_key", "permissions.deny"}
    assert KEYS["log.level"].env == ("AGENTD_LOG_LEVEL", "LOG_LEVEL", "DEBUG")
    assert KEYS["permissions.deny"].env == ()
    secrets = {name.rpartition(".")[2] for name, key in TABLE.documented.items() if key.secret}
    assert secrets == {"api_key", "api_keys", "headers"}
    assert all(key.doc.endswith(".") for key in KEYS.values())


EMPTY = {"()": "[]", "None": "", "{}": "{}"}
VENDOR = re.compile(r"^providers\.(openai|anthropic|deepseek|qwen|ollama)\.")


@pytest.mark.parametrize("name", sorted(KEYS))
def test_variables_of_vendors_are_documented(name: str) -> None:
    """docs/configuration.md has all variables of a vendor in one row."""
    vendor, key = VENDOR.match(name), KEYS[name]
    if vendor is None:
        return
    text = (ROOT / "docs" / "configuration.md").read_text()
    row = re.search(rf"^\| `{vendor[1]}` \|.*$", text, re.MULTILINE)
    common = [variable for variable in (*key.env, *key.numbered) if not variable.startswith("AGENTD_")]
    assert row and all(f"`{variable}`" in row[0] for variable in common)


@pytest.mark.parametrize("name", sorted(name for name in TABLE.documented if not VENDOR.match(name)))
def test_key_is_documented(name: str) -> None:
    """docs/configuration.md has a row with the key, its default, all its variables, and when a new value counts. The vendors'
    keys are those of any provider."""
    key = TABLE.documented[name]
    text = (ROOT / "docs" / "configuration.md").read_text()
    row = re.search(rf"^\| `{re.escape(name)}` \|.*$", text, re.MULTILINE)
    assert row, f"docs/configuration.md has no row for {name}"
    cells = [cell.strip() for cell in row[0].strip("|").split("|")]
    written = f"{key.default:g}" if isinstance(key.default, float) else EMPTY.get(repr(key.default), str(key.default))
    assert cells[1] == (f"`{written}`" if written else "")
    assert all(f"`{variable}`" in cells[2] for variable in key.env)
    assert cells[3] == ("at once" if key.live else "after a restart")


def test_files_are_read_by_default(tmp_path: Path) -> None:
    """Without a reader of one's own the real files count."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text("turn.max_steps = 3")
    if Path(SYSTEM_FILE).exists():
        pytest.fail(f"{SYSTEM_FILE} of this machine would be read")
    assert load({"AGENTD_HOME": str(tmp_path)}).turn.max_steps == 3


def test_named_file_must_exist() -> None:
    """Who names a file with AGENTD_CONFIG means it; the usual place may be empty."""
    assert configure().warnings == ()
    with pytest.raises(ConfigError, match=r"/e/my\.toml: there is no such file, but AGENTD_CONFIG names it"):
        configure({"AGENTD_CONFIG": "/e/my.toml"})
