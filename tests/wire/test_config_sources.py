"""Every mistake in a source is named by file, line and key; nothing that may be a secret is repeated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentwire.config import Config, load
from agentwire.config_kinds import CANDIDATES
from agentwire.config_sources import Line, line_of, parse_env, read_file
from agentwire.errors import ConfigError

FILE, ENV = "/h/config/config.toml", "/h/config/.env"
SECRET = "sk-proj-0123456789abcdef"
UNKNOWN = "base_url (or path) to be set: this is no provider that is known"
KNOWN = "'openai', 'anthropic', 'deepseek', 'qwen', 'ollama', 'local'"
EFFORTS = "one of 'none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'"


def configure(toml: str = "", env: str = "", environ: dict[str, str] | None = None, overrides: Sequence[str] = ()) -> Config:
    return load({"AGENTD_HOME": "/h"} | (environ or {}), overrides, read={FILE: toml, ENV: env}.get)


def complaint(toml: str = "", env: str = "", environ: dict[str, str] | None = None, overrides: Sequence[str] = ()) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        configure(toml, env, environ, overrides)
    return caught.value


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ("# a\n[turn]\nmax_steps = 'many'", f"{FILE}:3: turn.max_steps: expected a whole number from 1 to 10000, got 'many'"),
        ("turn.max_steps = 0", f"{FILE}:1: turn.max_steps: expected a whole number from 1 to 10000, got 0"),
        ("\nturn = {max_steps = true}", f"{FILE}:2: turn.max_steps: expected a whole number from 1 to 10000, got True"),
        ("[log]\nlevel='loud'", f"{FILE}:2: log.level: expected one of 'debug', 'info', 'warning', 'error', got 'loud'"),
        ("model = 'gpt'", f"{FILE}:1: model: expected provider/model or an alias of [models], got 'gpt'"),
        (
            "[model]\nname='x'",
            f"{FILE}:1: model: expected provider/model, an alias, or several with commas between, got {{'name': 'x'}}",
        ),
        (
            "[models]\nopenai='a/b'",
            f"{FILE}:2: models.openai: expected an alias that is not the name of a provider, got 'openai'",
        ),
        ("models.'a,b'='a/b'", f"{FILE}:1: models.\"a,b\": expected a name without slash, comma or space, got 'a,b'"),
        (
            "[models.fast]\nstrategy='failover'",
            f"{FILE}:2: models.fast.strategy (models.fast): expected candidates: the models that it stands for, got nothing",
        ),
        ("models.fast = []", f"{FILE}:1: models.fast (models.fast.candidates): expected {CANDIDATES.expected}, got []"),
        (
            "models.fast = [{model='a/b', w=0}]",
            f"{FILE}:1: models.fast (models.fast.candidates): expected {CANDIDATES.expected}, got {{'model': 'a/b', 'w': 0}}",
        ),
        (
            "\n[parameters.'a/b']\neffort='much'",
            f"{FILE}:3: parameters.\"a/b\".effort: expected {EFFORTS}, got 'much'",
        ),
        ("[parameters.gpt]\neffort='low'", f"{FILE}:1: parameters.gpt: expected provider/model, with * for any letters, got 'gpt'"),
        ("[parameters]\n'a/b' = 3", f'{FILE}:2: parameters."a/b": expected a table [parameters."a/b"], got 3'),
        (
            "[providers.Mine]\nbase_url='http://h'",
            f"{FILE}:1: providers.Mine: expected a name of small letters, digits, - and _, got 'Mine'",
        ),
        (
            "[providers.mine]\ndialect='openai'",
            f"{FILE}:2: providers.mine.dialect (providers.mine): expected {UNKNOWN}, got nothing",
        ),
        (
            "providers.mine.headers = {'a b' = 'c'}",
            f"{FILE}:1: providers.mine.headers: expected a table of HTTP headers, names and texts, got ***",
        ),
        ("budget.day_cost = -1", f"{FILE}:1: budget.day_cost: expected a number of US dollars from 0 to 1000000, got -1"),
        (
            "default_provider='mine'\nproviders.mine.base_url='http://h'",
            f"{FILE}:1: default_provider: expected model to be set, too: what this provider has is not known, got nothing",
        ),
        ("log = 'debug'", f"{FILE}:1: log: expected a table [log], got 'debug'"),
        (
            "[permissions]\nallow = []\ndeny = [\n  'read',\n  1,\n]\nask = []",
            f'{FILE}:3: permissions.deny: expected a list of rules such as "read" or "shell(git status *)", got [\'read\', 1]',
        ),
        ("timeouts.step = nan", f"{FILE}:1: timeouts.step: expected a number of seconds from 0.001 to 86400, got nan"),
        ("log.level = '${WHERE}'", f"{FILE}:1: log.level: expected the environment variable WHERE to be set, got nothing"),
        ("a = 1\nb = = 2", f"{FILE}:2: this is not TOML: Invalid value"),
        ("a = 1\n[b", f"{FILE}:2: this is not TOML: Expected ']' at the end of a table declaration"),
        ("a = '''\n\n", f"{FILE}:3: this is not TOML: Expected \"'''\""),
    ],
)
def test_mistakes_in_toml(toml: str, text: str) -> None:
    """File, line, key, what was expected, what was found."""
    error = complaint(toml)
    assert str(error) == text
    assert error.details["file"] == FILE
    assert f":{error.details['line']}:" in text


@pytest.mark.parametrize(
    ("env", "environ", "overrides", "text"),
    [
        ("\nLOG_FORMAT=xml", {}, [], f"{ENV}:2: LOG_FORMAT (log.format): expected one of 'text', 'json', got 'xml'"),
        ("A\n", {}, [], f"{ENV}:1: expected NAME=VALUE, NAME='VALUE' or a comment"),
        ("", {"LOG_FORMAT": "xml"}, [], "environment variable LOG_FORMAT (log.format): expected one of 'text', 'json', got 'xml'"),
        (
            "",
            {"DEFAULT_MODEL_PROVIDER": "mine"},
            [],
            f"environment variable DEFAULT_MODEL_PROVIDER (default_provider): expected one of {KNOWN}, got 'mine'",
        ),
        (
            "",
            {"AGENTD_TURN_MAX_STEPS": "ten"},
            [],
            "environment variable AGENTD_TURN_MAX_STEPS (turn.max_steps): expected a whole number from 1 to 10000, got 'ten'",
        ),
        (
            "",
            {"OPENAI_BASE_URL": "host:1"},
            [],
            (
                "environment variable OPENAI_BASE_URL (providers.openai.base_url): "
                "expected an http:// or https:// URL without ? and #, got 'host:1'"
            ),
        ),
        ("", {}, ["turn.max_steps=ten"], "-c turn.max_steps: expected a whole number from 1 to 10000, got 'ten'"),
        ("", {}, ["log.level=info", "turn.max_steps"], "-c number 2: expected key.path=value, for example turn.max_steps=20"),
    ],
)
def test_mistakes_elsewhere(env: str, environ: dict[str, str], overrides: list[str], text: str) -> None:
    """The variable or option is named, and the key it stands for."""
    assert str(complaint("", env, environ, overrides)) == text


@pytest.mark.parametrize(
    ("toml", "env", "environ", "overrides"),
    [
        (f"providers.openai.api_key = '{SECRET} '", "", {}, []),
        (f"providers.openai.api_key = ['{SECRET}']", "", {}, []),
        (f"model = '{SECRET}'", "", {}, []),
        (f"permissions.deny = '{SECRET}'", "", {}, []),
        ("providers.openai.context = '${OPENAI_API_KEY}'", "", {"OPENAI_API_KEY": SECRET}, []),
        ("log.level = '${OPENAI_API_KEY}'", f"OPENAI_API_KEY={SECRET}", {}, []),
        ("", f"OPENAI_API_KEY {SECRET}", {}, []),
        ("", f'OPENAI_API_KEY="{SECRET}', {}, []),
        ("", f'OPENAI_API_KEY="{SECRET} "', {"AGENTD_TURN_RESUME": SECRET}, []),
        ("", "", {"OPENAI_API_KEY": f"{SECRET}\n{SECRET}"}, []),
        ("", "", {"OPENAI_BASE_URL": SECRET}, []),
        ("", "", {"OPENAI_API_KEY_1": f"{SECRET} {SECRET}"}, []),
        ("providers.openai.api_keys = ['${OPENAI_API_KEY_1} ']", "", {"OPENAI_API_KEY_1": SECRET}, []),
        (f"providers.mine.headers = {{'a b' = '{SECRET}'}}", "", {}, []),
        (f"models.fast = '{SECRET} x'", "", {}, []),
        ("", "", {}, [f"providers.openai.api_key:{SECRET}"]),
        ("", "", {}, [f"providers.openai.api_key=a b{SECRET}"]),
        (f"providers.openai.api_key = {SECRET}", "", {}, []),
    ],
)
def test_no_error_repeats_a_secret(toml: str, env: str, environ: dict[str, str], overrides: list[str]) -> None:
    """Neither in its text nor in its details, also where a key was put into the wrong place."""
    error = complaint(toml, env, environ, overrides)
    assert SECRET not in f"{error} {error!r} {error.to_wire()}"
    assert error.__cause__ is None


@pytest.mark.parametrize(
    ("toml", "env", "environ", "overrides", "warning"),
    [
        ("[turn]\nmaxsteps = 1", "", {}, [], f"{FILE}:2: unknown key turn.maxsteps; did you mean turn.max_steps?"),
        ("[provider.openai]\ncontext = 1", "", {}, [], f"{FILE}:1: unknown key provider; did you mean providers?"),
        ("api_key = 'x'", "", {}, [], f"{FILE}:1: unknown key api_key; did you mean providers.openai.api_key?"),
        (
            "[providers.mine]\nbase_ulr = 'http://h'\nbase_url = 'http://h'",
            "",
            {},
            [],
            f"{FILE}:2: unknown key providers.mine.base_ulr; did you mean providers.mine.base_url?",
        ),
        (
            "parameters.'a/b'.tmperature = 1",
            "",
            {},
            [],
            f'{FILE}:1: unknown key parameters."a/b".tmperature; did you mean parameters."a/b".temperature?',
        ),
        ("", "", {"AGENTD_PROVIDERS_OPENAI_APIKEY": "x"}, [], "environment: unknown variable AGENTD_PROVIDERS_OPENAI_APIKEY"),
        ("quite_else = 1", "", {}, [], f"{FILE}:1: unknown key quite_else"),
        ("", "\nOPENAI_APIKEY=x", {}, [], f"{ENV}:2: unknown variable OPENAI_APIKEY; did you mean OPENAI_API_KEY?"),
        ("", "AGENTD_HOME=/x", {}, [], f"{ENV}:1: AGENTD_HOME has no effect here, only in the environment"),
        ("", "HTTPS_PROXY=http://x", {}, [], f"{ENV}:1: HTTPS_PROXY has no effect here, only in the environment"),
        ("", "", {"AGENTD_MODLE": "x"}, [], "environment: unknown variable AGENTD_MODLE; did you mean AGENTD_MODEL?"),
        ("", "", {"AGENTD_QUITE_ELSE": "x"}, [], "environment: unknown variable AGENTD_QUITE_ELSE"),
        ("", "", {}, ["turn.maxsteps=1"], "-c: unknown key turn.maxsteps; did you mean turn.max_steps?"),
        (
            "",
            "",
            {},
            ["provider.openai.api_key=x"],
            "-c: unknown key provider.openai.api_key; did you mean providers.openai.api_key?",
        ),
    ],
)
def test_unknown_names_are_warnings(toml: str, env: str, environ: dict[str, str], overrides: list[str], warning: str) -> None:
    """The daemon starts; the warning names the place and the nearest name there is."""
    assert configure(toml, env, environ, overrides).warnings == (warning,)


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "OLLAMA_HOST", "REDIS_URL", "OPENAI_API_KEY_1", "TERM", "MY_OWN"])
def test_other_names_are_nobodys_business(name: str) -> None:
    """Names with a meaning elsewhere, and those that resemble nothing, are silently accepted."""
    assert configure("", f"{name}=x").warnings == ()
    assert configure(environ={name: "x", "AGENTD_CALL_ID": "c", "AGENTD_READY_FD": "3"}).warnings == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "aa"),
        ("x${A}y${B}", "xaaybb"),
        ("${NONE:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${A:-d}", "aa"),
        ("${NONE:-}", ""),
        ("$A $${A}", "$A ${A}"),
        ("${not a name}", "${not a name}"),
    ],
)
def test_variables_expand(text: str, value: str) -> None:
    """In strings of TOML files, from the environment and, below it, the .env file; `$${` is a plain `${`."""
    loaded = configure(f'log.file = "/{text}"', "A=other\nB=bb", {"A": "aa", "EMPTY": ""})
    assert loaded.log.file == f"/{value}"


def test_variables_expand_to_what_the_key_wants() -> None:
    """Also in lists, and where a number is expected."""
    loaded = configure("turn.max_steps = '${STEPS:-7}'\npermissions.deny = ['shell(${TOOL} *)']", environ={"TOOL": "rm"})
    assert loaded.turn.max_steps == 7
    assert loaded.permissions.deny == ("shell(rm *)",)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=b", "b"),
        ("  export A = b c  # comment", "b c"),
        ("A=", ""),
        ("A= # comment", ""),
        ("A=b#c", "b#c"),
        ("A='b # \"c\" \\n'", 'b # "c" \\n'),
        ('A="b\\n\\"c\\"\\$ # d" # comment', 'b\n"c"$ # d'),
        ("A=b=c", "b=c"),
        ("\r\n# x\r\nA=b\r\n", "b"),
        ("A=1\nA=b", "b"),
    ],
)
def test_env_files(text: str, value: str) -> None:
    """Plain values, quotes of both kinds, `export`, comments; the last of a name counts."""
    assert dict(parse_env(text, ENV))["A"].text == value


@pytest.mark.parametrize("line", ["A", "A b", "1A=b", "A='b", 'A="b', "A='b'c", "=b", 'A="b\\"'])
def test_lines_that_are_no_assignment(line: str) -> None:
    """They are refused with their number, not guessed at."""
    with pytest.raises(ConfigError, match=re.escape(f"{ENV}:2: expected NAME=VALUE")):
        dict(parse_env(f"\n{line}", ENV))


@given(st.text(st.characters(exclude_characters="'\n\r", exclude_categories=["Cc", "Zl", "Zp"]), max_size=20))
def test_single_quotes_keep_everything(value: str) -> None:
    """What stands in single quotes is the value."""
    assert list(parse_env(f"A='{value}'", ENV)) == [("A", Line(value, 1))]


@pytest.mark.parametrize(
    ("text", "parts", "line"),
    [
        ("a = 1\nb = 2", ["b"], 2),
        ("# c\n\n[a]\n\n# d\nb = 1", ["a", "b"], 6),
        ("a.b = 1\r\na.c = 2", ["a", "c"], 2),
        ("[a]\nx = 1\n[a.b]\nc = 2", ["a", "b", "c"], 4),
        ('x = """\na = 1\n"""\na = 2', ["a"], 4),
        ("x = 0\na = [\n 1,\n 2,\n]\nb = 1", ["a"], 2),
        ("a = {b = 1, c = 2}", ["a", "c"], 1),
        ('"a.b" = 1', ["a.b"], 1),
        ("a = 1\nb = 2", ["c"], 2),
    ],
)
def test_line_of(text: str, parts: list[str], line: int) -> None:
    """The line where the key's assignment begins, however it is written; the last one for a key that is not there."""
    assert line_of(text, parts) == line


def test_read_file(tmp_path: Path) -> None:
    """The text, without a byte order mark; None where there is no file; errors name the file."""
    file = tmp_path / "f"
    assert read_file(str(file)) is None
    file.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_file(str(file)) == "a = 1"
    assert read_file(str(file / "below")) is None
    file.write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match=re.escape(f"{file}: the file is not UTF-8 (byte 5)")):
        read_file(str(file))
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path}: cannot read the configuration: Is a directory")):
        read_file(str(tmp_path))
