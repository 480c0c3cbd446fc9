"""The program of the embedded model's process: llama.cpp's OpenAI-compatible server on a Unix socket. The daemon starts it.

In the daemon itself the load would hold the GIL for as long as it takes (0.5 to 3 s) and a crash of native code would end every
session. What passes between the two: the API key as the first line on stdin (argv is world-readable), one line `ready` on stdout
once requests are answered, logs on stderr. At the end of stdin, however the daemon ended, this process is dead at once.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import signal
import sys
from typing import Any

# A prompt is read in pieces of this many tokens, between which the other answer gets its turn: 2 to 4 s of silence, not 30.
BATCH = 256
CACHE_MIB = 16  # prompts of finished requests kept beside the slots' own; the default of 8 GiB is no guest's
WARNINGS = 2  # llama.cpp's verbosity: errors and warnings


def main(argv: list[str] | None = None) -> int:
    """Serve until killed. Exits 1 if stdin ends before the key came, or if the model cannot be loaded."""
    options = _arguments(argv)
    ready = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is a log
    key = _read_line(0)
    if not key:
        return 1
    _die_with_stdin()
    try:
        server = _load(options, key)
    except RuntimeError:  # llama.cpp has said why
        return 1
    os.write(ready, b"ready\n")
    while server is not None:
        signal.pause()
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="llama_child", description="The embedded model's process; agentd starts it.")
    parser.add_argument("--model", required=True, help="the GGUF file")
    parser.add_argument("--socket", required=True, help="where to listen; must end in .sock")
    parser.add_argument("--context", type=int, required=True, help="tokens per conversation")
    parser.add_argument("--slots", type=int, required=True, help="answers at the same time")
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args(argv)


def _read_line(fd: int) -> str:
    """The first line, "" if the stream ends before it does."""
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(fd, 4096)
        if not data:
            return ""
        line += data
    return line.decode().strip()


def _die_with_stdin() -> None:
    """Let the kernel end us when stdin does: SIGIO, whose default action is to terminate.

    Not a thread that reads: while the model loads, native code holds the GIL and no thread of ours runs. Not PR_SET_PDEATHSIG: it
    follows the thread that forked us, not the process.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:  # it ended before the kernel was asked to tell
        os._exit(1)


def _load(options: argparse.Namespace, key: str) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.hostnames = [options.socket]
    params.api_keys = [key]
    # Slots share n_ctx. Not `kv_unified`, where two long conversations at once would fail each other; not a quantised cache either:
    # it saves 90 MB and halves the speed of prompts.
    params.n_ctx = options.context * options.slots
    params.n_parallel = options.slots
    params.n_batch = params.n_ubatch = BATCH
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.n_gpu_layers = 0
    params.cache_ram_mib = CACHE_MIB
    params.n_threads_http = options.slots + 2
    params.ui = False
    params.verbosity = WARNINGS
    return xllamacpp.Server(params)


if __name__ == "__main__":
    sys.exit(main())
