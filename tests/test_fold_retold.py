"""Summaries under a new epoch or in another store: told anew, they say what they said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.contract import Kind
from edge.fold import Folder
from edge.outbox import Outbox
from edge.outbox_eras import Mark
from edge.packing import Packer
from edge.ranges import RangeSet
from edge.retell import retold
from edge.wire.packet import Window
from edge.wire.sheet import Sheet
from edge.wire.summary import unpack_summaries
from tests.fold_site import HOUR_MS, NOTHING, T0_MS, Site, balanced, expected, hours, site_sheet
from tests.test_outbox import saved_whole


def test_a_restored_card_tells_its_young_summaries_under_the_new_epoch(tmp_path: Path) -> None:
    site = Site(tmp_path, 1_000_000)
    site.live(T0_MS, T0_MS + HOUR_MS)
    box = site.box
    with box._transaction():
        box._set_mark(Mark(box.last_seq(), 0))
    site.live(T0_MS + HOUR_MS, T0_MS + 2 * HOUR_MS)
    box.quota_bytes = 1000
    while site.folder.step(box, NOTHING) is not None:
        pass

    def later(epoch: int, next_seq: int, _bodies: list[bytes]) -> tuple[bytes, bytes]:
        sheet = replace(site_sheet(epoch), seq0=next_seq, t0_ms=T0_MS + 5 * HOUR_MS)
        return sheet.digest, sheet.encode()

    opened_seq = box.sure_seq
    box.renew(later)
    packer, skip, found = Packer(), RangeSet(), 0
    while (packed := packer.rounds(box, skip, opened_seq + 1, box.last_seq(), 1000)) is not None:
        for low, high in packed.ranges:
            skip.add(low, high)
        assert packed.sheet is not None
        assert packed.sheet.epoch == box.epoch
        if packed.kind is Kind.SUMMARY:
            found += 1
            assert unpack_summaries(packed.sheet, packed.body).seq == packed.ranges[0][0]
    assert found > 3
    told = next(held for held in box.scan() if held.kind is Kind.SUMMARY)
    body = retold(told.body, box.sheet(told.body_sheet)[1], box.sheet(told.sheet)[1])
    assert unpack_summaries(Sheet.decode(box.sheet(told.sheet)[1]), body).seq == told.wire_seq
    site.sheet = Sheet.decode(box.sheet(told.body_sheet)[1])
    assert hours(site) == expected(site.truth)
    assert balanced(box)
    # And they are folded on as if nothing had been.
    present = next(row for row, digest in box.sheets() if box.sheet(row)[0] == box.epoch)
    on = Folder(present)
    while on.step(box, NOTHING) is not None:
        pass
    assert balanced(box)
    box.commit([], [(box.epoch, opened_seq + 1, box.last_seq())])
    assert all(held.seq <= opened_seq for held in box.scan()), "a receipt of the new epoch settles what is of it"


def summaries_of_all(box: Outbox) -> list[tuple[int, int, int, list[Window]]]:
    """(epoch, seq, group, windows) of the summaries held, as the province is told them."""
    found = []
    for held in box.scan():
        if held.kind is Kind.SUMMARY:
            epoch, sheet = box.sheet(held.sheet)
            body = retold(held.body, box.sheet(held.body_sheet)[1], sheet) if held.body_sheet else held.body
            told = unpack_summaries(Sheet.decode(sheet), body)
            assert told.seq == held.wire_seq
            found.append((epoch, held.wire_seq, told.group, list(told.windows)))
    return found


@pytest.mark.parametrize("salvaged", [False, True])
def test_young_summaries_of_a_restored_card_keep_their_time_in_another_store(tmp_path: Path, salvaged: bool) -> None:
    site = Site(tmp_path, 1_000_000)
    box = site.box
    site.live(T0_MS, T0_MS + 2 * HOUR_MS)
    box.quota_bytes = 1000
    while site.folder.step(box, NOTHING) is not None:
        pass
    sheet = replace(site_sheet(1), t0_ms=T0_MS + 5 * HOUR_MS)

    def later(epoch: int, next_seq: int, _bodies: list[bytes]) -> tuple[bytes, bytes]:
        told = replace(sheet, epoch=epoch, seq0=next_seq)
        return told.digest, told.encode()

    box.opened_seq = 0
    box.renew(later)
    wanted = summaries_of_all(box)
    assert {epoch for epoch, *_ in wanted} == {box.epoch}
    if salvaged:
        box.close()
        other, _ = Outbox.open(tmp_path, 50_000_000, "now", distrust=True)
        saved_whole(other)
    else:
        other = Outbox.in_memory()
        other.adopt(box, 1)
    assert summaries_of_all(other) == wanted
    assert all(not held.body_sheet for held in other.scan())


def test_a_summary_that_can_not_be_told_again_stays_where_it_is(tmp_path: Path) -> None:
    site = Site(tmp_path, 1_000_000)
    site.live(T0_MS, T0_MS + 2 * HOUR_MS)
    site.box.quota_bytes = 1000
    while site.folder.step(site.box, NOTHING) is not None:
        pass
    site.box.renew(lambda _epoch, _seq, _bodies: (b"other", b"no sheet"))
    saved, last_seq = site.box.batch((), 0, 1)
    assert last_seq == site.box.last_seq()
    assert all(one.entry.kind is not Kind.SUMMARY for one in saved)
