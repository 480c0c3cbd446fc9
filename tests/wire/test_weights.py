"""The constants of the embedded model fit the rest of agentwire."""

from __future__ import annotations

import re

from agentwire.config import LOCAL_MODEL
from agentwire.weights import EMBEDDED


def test_one_model_id() -> None:
    """The default model of a daemon without keys is the embedded one."""
    assert EMBEDDED.model == LOCAL_MODEL


def test_sums_are_sha256() -> None:
    """Both sums are whole sha256 sums in hex, as pip and hashlib write them."""
    assert all(re.fullmatch("[0-9a-f]{64}", sum_) for sum_ in (EMBEDDED.wheel_sha256, EMBEDDED.sha256))


def test_the_file_keeps_its_name() -> None:
    """The file in the models directory is the wheel's member, without its folder."""
    assert EMBEDDED.member.endswith(f"/{EMBEDDED.file}")
