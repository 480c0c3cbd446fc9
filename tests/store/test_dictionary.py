"""What was compressed with a dictionary can be read with that dictionary only."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from agentd.store import blob
from agentd.store.dictionary import DICTIONARIES, NEWEST
from agentwire.convert import structure_body
from agentwire.events import encode_body

RELEASED = {
    2: "51a4d7fa5f009365071c5bce35f7ec12ad64542ef4d1aa4a4faead35b478c8cd",
    3: "b816babb5ce534b8c6ecc6582941a019812096afd3ef5a4634a5f4ad84221839",
    4: "c69b875be45338c2a698ea387f5a4dac1f2156dc5fc6321051016c263dbc4585",
}
"""Add a line for a new dictionary, never change one: the rows of people's databases would be lost."""

V1 = Path(__file__).parent.parent / "wire" / "fixtures" / "events-v1.jsonl"


def test_released_dictionaries_are_what_they_were() -> None:
    """Byte for byte, and none is missing."""
    assert {number: hashlib.sha256(words).hexdigest() for number, words in DICTIONARIES.items()} == RELEASED


def test_numbers_are_marks() -> None:
    """A number is one byte and not one that means something else; the newest is what is written with."""
    assert all(2 <= number < ord("{") for number in DICTIONARIES)
    assert blob.pack(b'{"input":1,"model":"local/smollm2-135m","turn":1}')[0] == NEWEST


def test_a_row_of_the_first_dictionary() -> None:
    """As it lies on disks."""
    row = b'\x02-\x00\x15{p\x01/2,\x9d\x00\x01\x135d\x00P":12}'
    assert blob.unpack(row) == b'{"input":12,"model":"openai/gpt-5","turn":12}'


@pytest.mark.parametrize("row", [json.loads(line) for line in V1.read_text().splitlines()], ids=lambda row: row["kind"])
def test_every_kind_gains(row: dict[str, Any]) -> None:
    """No kind of event was forgotten: each body is at least a quarter shorter, but for the shortest."""
    body = encode_body(structure_body(row["kind"], 1, row["data"]))
    assert len(blob.pack(body)) < max(len(body) * 0.75, 40)
