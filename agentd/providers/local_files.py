"""Where the models on this machine are: names -> GGUF files, and what these say of themselves."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from agentd.providers.llama_file import ModelFile, NoModel, read_model_file
from agentwire.weights import EMBEDDED

EMBEDDED_NAME: Final = EMBEDDED.model.partition("/")[2]
_EMBEDDED_CONTEXT = 8192  # tokens, as its file says
_SUFFIX = ".gguf"


Version = tuple[int, int, int]
"""Of a file: its size, when it was changed, and which it is. Another one under the same path has another."""


def version(path: str) -> Version:
    """Raises OSError."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns, found.st_ino


class LocalFiles:
    """`folder`: the models directory. Names are without our provider's prefix."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._known: dict[str, tuple[Version, ModelFile]] = {}  # by path

    def embedded_here(self) -> bool:
        """By size: `agentctl model pull` has checked the sum, and a file cut short would crash the child."""
        try:
            return os.stat(self.path(EMBEDDED_NAME)).st_size == EMBEDDED.bytes
        except OSError:
            return False

    def names(self) -> list[str]:
        """Of the GGUF files in the folder, without the embedded one."""
        with suppress(OSError):
            files = sorted(file for file in os.listdir(self.folder) if file.endswith(_SUFFIX) and file != EMBEDDED.file)
            return [file.removesuffix(_SUFFIX) for file in files]
        return []

    def read(self, name: str) -> ModelFile:
        """What the file says; asked again once it has changed. Raises NoModel."""
        path = self.path(name)
        if name == EMBEDDED_NAME:
            return ModelFile(path, EMBEDDED.bytes, "", _EMBEDDED_CONTEXT)
        try:
            state = version(path)
        except OSError as error:
            raise NoModel(f"{path}: {error.strerror}") from None
        known = self._known.get(path)
        if known is None or known[0] != state:
            known = self._known[path] = (state, read_model_file(path))
        return known[1]

    def path(self, name: str) -> str:
        if name == EMBEDDED_NAME:
            return f"{self.folder}/{EMBEDDED.file}"
        if name.startswith(("/", "~")):
            return os.path.realpath(os.path.expanduser(name))
        if "/" in name:
            raise NoModel(f"a file elsewhere is named by its whole path: local//.../{name.rpartition('/')[2]}")
        return f"{self.folder}/{name.removesuffix(_SUFFIX)}{_SUFFIX}"
