"""The real llama.cpp server on loopback, over TCP with an API key: a back end for the adapters. A process of its own.

Run as a program it reads the key from stdin, prints its port, and serves until it is killed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

KEY = "sk-llama-3c7d"
CONTEXT = 2048  # tokens per conversation, of which it holds two


@frozen
class Llama:
    """`url` without a path."""

    url: str
    pid: int


@contextmanager
def llama(model: str) -> Iterator[Llama]:
    """The server with the GGUF file `model`, ready to answer."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-m", __name__, model], stdin=pipe, stdout=pipe, env=environment, text=True) as child:
        try:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(f"{KEY}\n")
            child.stdin.flush()
            port = child.stdout.readline().strip()
            assert port, "the server did not start"
            yield Llama(f"http://127.0.0.1:{port}", child.pid)
        finally:
            child.kill()


def main() -> None:
    import xllamacpp

    port_out = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is a log
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], port, [sys.stdin.readline().strip()]
    params.n_ctx, params.n_parallel, params.n_batch, params.n_ubatch = CONTEXT * 2, 2, 256, 256
    params.n_gpu_layers, params.cache_ram_mib, params.verbosity, params.ui = 0, 16, 2, False
    server = xllamacpp.Server(params)
    os.write(port_out, f"{port}\n".encode())
    while server is not None:
        signal.pause()


if __name__ == "__main__":
    main()
