from __future__ import annotations

import pytest
import trio

from tests.fakes.authority import Authority, make_authority
from tests.providers.exchanges import Names


@pytest.fixture(scope="session", autouse=True)
def _sdks_are_imported() -> None:
    """Once per run, so that no single test pays for it."""
    import anthropic  # noqa: F401 - the import is the point
    import openai  # noqa: F401 - the same


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def names() -> Names:
    resolver = Names()
    trio.socket.set_custom_hostname_resolver(resolver)
    return resolver
