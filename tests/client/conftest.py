"""Clients under test talk to fakes: a fake that goes away must not bring a real daemon into the test's folder."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_daemon_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process nothing is started in place of a daemon that is gone, but what a test names itself."""
    monkeypatch.setattr("agentctl.start.command", lambda: ["/nonexistent/agentd"])
