"""A session in a directory of its own, with the file tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentd.spawn import TrioSpawner
from agentd.toolsources.files.source import FileTools
from tests.fakes.file_calls import FileCalls


@pytest.fixture
def calls(tmp_path: Path) -> FileCalls:
    root = tmp_path / "work"
    root.mkdir()
    return FileCalls(FileTools(TrioSpawner(), umask=0o022), root.resolve())
