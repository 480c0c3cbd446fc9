"""Each kind of value takes what it says and nothing else, and nothing shown is a secret."""

from __future__ import annotations

from typing import Any

import pytest

from agentwire.config_kinds import (
    MODEL,
    OLLAMA,
    PATH,
    RULES,
    SECRET,
    URL,
    Kind,
    choice,
    described,
    masked,
    ollama_url,
    seconds,
    shown,
    whole,
)

LEVEL = choice("info", "warning", synonyms={"warn": "warning"})


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (whole(0, 9), 9, 9),
        (seconds(0, 9), 1, 1.0),
        (seconds(0, 9), 0.5, 0.5),
        (LEVEL, "INFO", "info"),
        (LEVEL, "Warn", "warning"),
        (choice("a", optional=True), "", ""),
        (MODEL, "openai/gpt-6.1-terra", "openai/gpt-6.1-terra"),
        (MODEL, "openai/org/model:tag", "openai/org/model:tag"),
        (MODEL, "", ""),
        (MODEL, "fast", "fast"),
        (MODEL, "a/b, fast,c/d:e", "a/b, fast,c/d:e"),
        (URL, "http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        (PATH, "a b", "a b"),
        (SECRET, "sk-1", "sk-1"),
        (
            RULES,
            ["read", "shell(git status *)", "mcp__server__tool", "mcp__*"],
            ("read", "shell(git status *)", "mcp__server__tool", "mcp__*"),
        ),
        (RULES, (), ()),
    ],
)
def test_good_values(kind: Kind, given: Any, value: Any) -> None:
    """They come out in their one form."""
    checked = kind.check(given)
    assert checked == value
    assert type(checked) is type(value)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (whole(0, 9), 10),
        (whole(0, 9), -1),
        (whole(0, 9), True),
        (whole(0, 9), 1.0),
        (whole(0, 9), "1"),
        (seconds(0, 9), float("nan")),
        (seconds(0, 9), float("inf")),
        (seconds(0, 9), False),
        (seconds(0, 9), "1"),
        (LEVEL, "trace"),
        (LEVEL, ""),
        (LEVEL, 1),
        (MODEL, "a/b,"),
        (MODEL, "a/b,,c/d"),
        (MODEL, "/gpt"),
        (MODEL, "openai/"),
        (MODEL, "a/b c"),
        (URL, "localhost:8080"),
        (URL, "file:///etc/passwd"),
        (URL, "http://"),
        (PATH, "a\0b"),
        (PATH, 1),
        (SECRET, "sk-1\n"),
        (SECRET, "schlüssel"),
        (SECRET, 1),
        (RULES, "read"),
        (RULES, ["read", 1]),
        (RULES, ["shell(git"]),
        (RULES, ["two words"]),
    ],
)
def test_wrong_values(kind: Kind, given: Any) -> None:
    """They raise with the words for what was expected."""
    with pytest.raises(ValueError, match=r"expected \w+"):
        kind.check(given)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(whole(0, 9), "7", 7), (seconds(0, 9), "0.5", 0.5), (LEVEL, "info", "info"), (RULES, '["a(b)", "c"]', ["a(b)", "c"])],
)
def test_text_is_parsed(kind: Kind, text: str, value: Any) -> None:
    """Environment and overrides bring text."""
    assert kind.parse(text) == value


@pytest.mark.parametrize(("kind", "text"), [(whole(0, 9), "1.0"), (seconds(0, 9), "soon"), (RULES, "read"), (RULES, '["a"')])
def test_text_that_cannot_be_parsed(kind: Kind, text: str) -> None:
    """It is a ValueError like any other wrong value."""
    with pytest.raises(ValueError, match=r".+"):
        kind.parse(text)


@pytest.mark.parametrize(
    ("secret", "mask"), [("", ""), ("short", "***"), ("x" * 19, "***"), ("sk-proj-0123456789abcdef", "sk-…cdef")]
)
def test_masked_secrets_can_be_recognised_but_not_used(secret: str, mask: str) -> None:
    """Only of a long one are the ends shown; that there is none, too."""
    assert masked(secret) == mask


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("info", "info"),
        ("sk-0123456789", "***"),
        ("https://user:password@host/v1", "https://***@host/v1"),
        (5, 5),
        (("read",), ("read",)),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(value: Any, text: Any) -> None:
    """A key that was pasted into the wrong setting does not appear."""
    assert shown(value) == text


def test_wrong_values_are_described_briefly() -> None:
    """As Python would write them, shortened, keys masked also inside lists."""
    assert described("a\x1b") == r"'a\x1b'"
    assert described(["sk-0123456789"]) == "['***']"
    assert len(described("x" * 1000)) == 60


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", OLLAMA),
        ("0.0.0.0", OLLAMA),
        (":11434", OLLAMA),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://0.0.0.0:8080/", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        ("[fe80::1]", "http://[fe80::1]:11434"),
        ("gpu.example", "http://gpu.example:11434"),
        (" 'gpu.example' ", "http://gpu.example:11434"),
        ("http://gpu.example", "http://gpu.example"),
        ("https://gpu.example:8443/ollama/", "https://gpu.example:8443/ollama"),
        ("https://ann:pass@gpu.example", "https://ann:pass@gpu.example"),
    ],
)
def test_what_ollama_host_means(host: str, url: str) -> None:
    """As Ollama's own programs read it; where a server listens everywhere, its clients go to this machine."""
    assert ollama_url(host) == url


@pytest.mark.parametrize("host", ["a b", "ftp://gpu.example", "gpu:port", "gpu:65536", "::1"])
def test_what_ollama_host_cannot_mean(host: str) -> None:
    with pytest.raises(ValueError, match="expected a host"):
        ollama_url(host)
