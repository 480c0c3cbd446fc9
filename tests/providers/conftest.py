from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _sdk_is_imported() -> None:
    """Once per run, so that no single test pays for it."""
    import openai  # noqa: F401 - the import is the point
