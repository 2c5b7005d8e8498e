"""The rig's own bookkeeping: what it calls missing."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from edge.contract import Kind, Round
from edge.entries import NewEntry
from edge.outbox import Outbox
from edge.packing import round_entry
from sim.province_store import Store
from sim.rig import Rig


def test_what_was_folded_is_not_missing_what_is_nowhere_is(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    box, _ = Outbox.open(rig.store, 10**7, "now")
    sheet, _ = box.sheet_id(b"digest", box.epoch, b"sheet")
    rounds = [round_entry(Round(0, 1000 * number, (number,))) for number in range(1, 7)]
    box.commit(rounds, sheet=sheet)
    made = NewEntry(Kind.SUMMARY, 0, 0, rounds[0].clock, 0, b"body", sheet, 60)
    box.fold([1, 2, 3], made, 7)
    box.commit([], [(box.epoch, 4, 4)])
    box.close()
    assert 4 in rig.missing(), "settled, and not at the province"
    with closing(Store(rig.database)) as province:
        province.begin()
        province._db.execute("INSERT INTO entries VALUES ('rig-1', ?, 4, 0, 0)", (box.epoch,))
        province.commit()
    assert rig.missing() == set()
