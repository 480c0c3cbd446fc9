from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentd.providers.llama_file import ModelFile, NoModel, read_model_file
from agentwire.weights import EMBEDDED
from tests.fakes.gguf import MAGIC, header, text

PAIRS = {
    "tokenizer.ggml.tokens": ["a", "bc", ""],
    "tokenizer.ggml.scores": [0.5, 1.0],
    "general.architecture": "qwen3",
    "llama.context_length": 5,
    "general.quantized": True,
    "general.name": "Grüße",
    "qwen3.context_length": 32768,
}


def test_says_what_it_is(home: Path) -> None:
    """Name and context are found wherever they stand, also behind a vocabulary; the context is its own architecture's."""
    path = home / "m.gguf"
    path.write_bytes(header(PAIRS) + b"weights")
    assert read_model_file(str(path)) == ModelFile(str(path), path.stat().st_size, "Grüße", 32768)
    path.write_bytes(header({"general.architecture": "x"}))
    assert read_model_file(str(path)) == ModelFile(str(path), path.stat().st_size, "", 0)


def pairs(*encoded: bytes) -> bytes:
    return MAGIC + struct.pack("<QQ", 0, len(encoded)) + b"".join(encoded)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGUF, but not really",
        b"GGML" + b"\0" * 100,
        b"GGUF" + struct.pack("<I", 99) + b"\0" * 100,
        header(PAIRS)[:60],
        header({"general.name": "no architecture"}),
        MAGIC + struct.pack("<QQ", 0, 2**63),
        pairs(text("general.architecture") + struct.pack("<IQ", 8, 2**62)),
        pairs(text("a") + struct.pack("<I", 77)),
        pairs(text("a") + struct.pack("<IIQ", 9, 8, 2**60)),
        pairs(text("a") + struct.pack("<IIQ", 9, 4, 2**60)),
        pairs(text("a") + struct.pack("<IIQ", 9, 9, 1)),
    ],
)
def test_what_is_no_model(home: Path, content: bytes) -> None:
    """Other files, cut ones, and lengths that cannot be: one sentence, at once."""
    path = home / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(NoModel, match=r"m\.gguf is not a GGUF file, or only the beginning of one"):
        read_model_file(str(path))


def test_what_cannot_be_read(home: Path) -> None:
    """No file, a directory, a pipe (which would block): said, not waited for."""
    os.mkfifo(home / "pipe")
    for name, said in (("none", "No such file"), ("", "not a file"), ("pipe", "not a file")):
        with pytest.raises(NoModel, match=said):
            read_model_file(str(home / name))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage(home: Path, data: st.DataObject) -> None:
    """Whatever is wrong with a header, it is a model or it is not; nothing else is raised."""
    content = bytearray(header(PAIRS))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = home / "m.gguf"
    path.write_bytes(content)
    with suppress(NoModel):
        read_model_file(str(path))


@pytest.mark.model
def test_the_real_one(weights: Path) -> None:
    """The embedded model's file says 8,192 tokens."""
    assert read_model_file(str(weights / EMBEDDED.file)).context == 8192
