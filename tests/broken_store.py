"""A store that is broken, and what of it is saved: what the tests of salvage share."""

from __future__ import annotations

from pathlib import Path

from edge.contract import Kind, Level
from edge.entries import Standing
from edge.outbox import Outbox
from edge.salvage_steps import Salvaged
from tests.test_outbox import alarm, ready, round_

STAMP = "20260101T000000Z"
BIG = 4000  # rounds: several steps


def broken(folder: Path, rounds: int = BIG, body: bytes = b"body", damage: bytes = b"") -> int:
    """A store whose header is gone (or the page that holds `damage`); its epoch."""
    box = ready(folder)
    for first in range(0, rounds, 1000):
        # Each body says whose it is: b"body" and its number.
        news = [round_(first + n)._replace(body=body + b"%06d" % (first + n)) for n in range(min(1000, rounds - first))]
        box.commit([*news, alarm()], limits=[Standing("high", Level.RED, 45, first)], sheet=1)
    epoch = box.epoch
    box.close()
    file = folder / "outbox.db"
    data = bytearray(file.read_bytes())
    leaves = [at for at in range(1024, len(data), 1024) if data[at] == 13]  # rows of tables; late ones are entries
    page = data.index(damage) // 1024 * 1024 if damage else leaves[len(leaves) * 3 // 4]
    data[page : page + 1024] = b"\xa5" * 1024
    file.write_bytes(data)
    return epoch


def steps(box: Outbox, most: int = 10_000, squeeze: bool = False) -> list[Salvaged]:
    found: list[Salvaged] = []
    while box.salvaging and len(found) < most:
        found.append(box.salvage_step(squeeze=squeeze))
    return found


def keys(box: Outbox) -> list[tuple[int, int]]:
    """What the province knows each entry by; a sheet's own entry is always sealed under the present epoch."""
    return [
        (box.epoch if entry.kind is Kind.SHEET else box.sheet(entry.sheet)[0], entry.wire_seq) for entry in box.scan()
    ]
