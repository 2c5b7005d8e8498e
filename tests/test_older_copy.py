"""An older copy of the store (a restored or cloned card) that runs in the dark, and what may happen to it before the
province can answer: another start, a disk that fails for a moment, a site file that changes. In virtual time, with the
real store; see relay_world for the world.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from edge.contract import ClockQuality, Kind
from edge.entries import NewEntry
from edge.outbox import Outbox
from edge.outbox_eras import MARK
from edge.wire.sheet import Sheet, SheetGroup, SheetPoint
from tests.relay_world import Gateway, Network, alarms, drained, rounds, values, world
from tests.test_bad_disks import Card

QUOTA_BYTES = 10**9
SHEET = Sheet("g", 1, 1, 0, (SheetGroup(1000, (SheetPoint("level", "m", Decimal("0.01"), None, None),)),), ())


async def next_run(network: Network, folder: Path, taken: int) -> Gateway:
    """Another start on the store in `folder`, of which the one before has died."""
    gateway = Gateway(folder / "store", network)
    network.links[:] = network.links[-1:]
    gateway.taken = taken
    await gateway.start()
    return gateway


async def copied_then_gone_on(network: Network, gateway: Gateway, folder: Path, lost: int) -> None:
    """20 rounds, a copy, `lost` rounds more that the province has; then the copy is put back, in the dark."""
    await rounds(gateway, 20)
    await drained(gateway, 30)
    await gateway.die()
    shutil.copytree(folder / "store", folder / "copy")
    again = await next_run(network, folder, 100)
    await rounds(again, lost)
    await drained(again, 30)
    await again.die()
    shutil.rmtree(folder / "store")
    shutil.copytree(folder / "copy", folder / "store")
    network.up = False


@pytest.mark.parametrize("young", [4, 30])
@pytest.mark.parametrize("starts", [1, 3])
def test_a_copy_that_is_started_again_and_again_in_the_dark_loses_nothing(
    tmp_path: Path, young: int, starts: int
) -> None:
    """Whether it gave fewer seqs in the dark than the province knows of, or more."""

    async def story(network: Network, gateway: Gateway) -> None:
        await copied_then_gone_on(network, gateway, tmp_path, 15)
        copy = await next_run(network, tmp_path, 200)
        await rounds(copy, 2)
        await copy.alarm()
        await rounds(copy, young)
        for _ in range(starts):
            await copy.die()
            copy = await next_run(network, tmp_path, copy.taken)
            await rounds(copy, 2)
        network.up = True
        await drained(copy, 120)
        assert sum("older copy of itself" in text for text in copy.said) == 1
        assert len(alarms(network)) == 1
        assert values(network) == [*range(1, 21), *range(101, 116), *range(201, copy.taken + 1)]
        assert copy.keeper.outbox.account(count_rows=True).balanced
        await copy.die()
        await gateway.start()

    world(tmp_path, story)


@pytest.mark.parametrize("young", [4, 16, 40])
def test_a_copy_that_gave_only_rounds_in_the_dark_loses_none(tmp_path: Path, young: int) -> None:
    """They would all fit into the first packet, whose receipt then says nothing of what they are taken for."""

    async def story(network: Network, gateway: Gateway) -> None:
        await copied_then_gone_on(network, gateway, tmp_path, 15)
        copy = await next_run(network, tmp_path, 200)
        await rounds(copy, young)
        network.up = True
        await drained(copy, 120)
        assert sum("older copy of itself" in text for text in copy.said) == 1
        assert values(network) == [*range(1, 21), *range(101, 116), *range(201, copy.taken + 1)]
        await copy.die()
        await gateway.start()

    world(tmp_path, story)


@pytest.mark.parametrize("young", [0, 30])
def test_a_copy_whose_disk_fails_for_a_moment_in_the_dark_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, young: int
) -> None:
    card = Card(monkeypatch)

    async def story(network: Network, gateway: Gateway) -> None:
        await copied_then_gone_on(network, gateway, tmp_path, 15)
        copy = await next_run(network, tmp_path, 200)
        await rounds(copy, 2)
        await copy.alarm()
        await rounds(copy, young)
        card.broken = True
        await rounds(copy, 3)
        assert not copy.keeper.outbox.durable
        await asyncio.sleep(20)
        card.broken = False
        await rounds(copy, 30)
        assert copy.keeper.outbox.durable
        network.up = True
        await drained(copy, 120)
        assert sum("older copy of itself" in text for text in copy.said) == 1
        assert len(alarms(network)) == 1
        assert values(network) == [*range(1, 21), *range(101, 116), *range(201, copy.taken + 1)]
        await copy.die()
        await gateway.start()

    world(tmp_path, story)


def test_a_store_that_is_no_copy_renames_nothing_however_often_it_is_started_in_the_dark(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        epoch = gateway.keeper.outbox.epoch
        await rounds(gateway, 5)
        network.up = False  # some are on their way, with their receipts
        await rounds(gateway, 5)
        await gateway.alarm()
        for _ in range(3):
            await gateway.die()
            gateway = await next_run(network, tmp_path, gateway.taken)
            await rounds(gateway, 3)
        network.up = True
        await drained(gateway, 120)
        assert gateway.keeper.outbox.epoch == epoch
        assert values(network) == list(range(1, gateway.taken + 1))
        assert len(alarms(network)) == 1
        await gateway.die()
        await gateway.start()

    world(tmp_path, story)


def test_what_was_sent_just_before_the_power_went_is_no_older_copy_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk had been away for a moment, so the mark is young; what was sent since is at the province, and its
    receipts went with the power."""
    card = Card(monkeypatch)

    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 20)
        await drained(gateway, 30)
        epoch = gateway.keeper.outbox.epoch
        network.up = False
        card.broken = True
        await rounds(gateway, 2)
        card.broken = False
        await rounds(gateway, 30)
        assert gateway.keeper.outbox.epoch == epoch
        network.up = True
        while gateway.taken not in values(network):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await gateway.die()
        network.up = False
        gateway = await next_run(network, tmp_path, gateway.taken)
        assert gateway.keeper.outbox.opened_seq == gateway.keeper.outbox.last_seq()  # it knows that it had sent
        await rounds(gateway, 3)
        network.up = True
        await drained(gateway, 120)
        assert not [text for text in gateway.said if "older copy" in text]
        assert gateway.keeper.outbox.epoch == epoch
        assert values(network) == list(range(1, gateway.taken + 1))
        await gateway.die()
        await gateway.start()

    world(tmp_path, story)


# -- the mark ---------------------------------------------------------------------------------------------------------


class Copy:
    """A store by itself, opened again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open()
        self.row = self.box.sheet_id(SHEET.digest, self.box.epoch, SHEET.encode())[0]

    def open(self) -> Outbox:
        self.box, said = Outbox.open(self.folder, QUOTA_BYTES, "now")
        assert not said
        return self.box

    def again(self) -> Outbox:
        self.box.close()
        return self.open()

    def take(self, count: int, sheet: int = 0) -> None:
        entry = NewEntry(Kind.ROUNDS, 0, 1000, ClockQuality.TRUSTED, 1, b"x")
        self.box.commit([entry] * count, sheet=sheet or self.row)

    def marked(self) -> bool:
        return bool(self.box._noted(MARK))


def make_sheet(sheet: Sheet) -> Callable[[int, int, list[bytes]], tuple[bytes, bytes]]:
    def make(epoch: int, seq: int, _bodies: list[bytes]) -> tuple[bytes, bytes]:
        made = replace(sheet, epoch=epoch, seq0=seq)
        return made.digest, made.encode()

    return make


def test_the_mark_stays_until_the_province_confirms_something_above_it(tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    copy.take(5)
    assert copy.again().sure_seq == 0
    copy.box.commit([], [(copy.box.epoch + 1, 1, 5), (copy.box.epoch, 6, 9)])
    assert copy.marked(), "neither another's entries nor none"
    copy.box.commit([], [(copy.box.epoch, 1, 3)])
    assert not copy.marked()
    assert copy.again().sure_seq == 5
    copy.take(4)
    copy.box.commit([], [(copy.box.epoch, 4, 5)])
    assert copy.again().sure_seq == 5, "what is below the mark says nothing"
    copy.box.commit([], [(copy.box.epoch, 9, 9)])
    assert copy.again().sure_seq == 9


def test_what_was_opened_is_as_of_the_mark_while_nothing_was_sent(tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    copy.take(5)
    assert copy.again().opened_seq == 0
    copy.box.reserve_counters(100)
    assert copy.again().opened_seq == 5


def test_a_store_of_an_earlier_program_and_a_damaged_mark_are_marked_at_the_opening(tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    copy.take(5)
    for spoil in ("DROP TABLE under_way", "UPDATE under_way SET body = x'a2' WHERE name = 'unsure'"):
        copy.box._db.execute(spoil)
        copy.again()
        assert copy.marked()
        assert copy.box.sure_seq == 5


def test_a_second_new_epoch_renames_what_came_after_the_first(tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    copy.take(3)
    copy.box.renew(make_sheet(SHEET))
    first = copy.box.epoch
    sheet = next(row for row, _ in copy.box.sheets() if row != copy.row)
    copy.again()
    copy.take(2, sheet)
    copy.again().renew(make_sheet(replace(SHEET, t0_ms=1)))
    told = [copy.box.sheet(held.sheet)[0] for held in copy.box.scan() if held.kind is Kind.ROUNDS]
    assert told == [first] * 3 + [copy.box.epoch] * 2


def test_what_was_taken_when_the_site_looked_otherwise_is_told_under_its_own_points(tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    copy.take(2)
    other = replace(SHEET, groups=(SheetGroup(1000, (SheetPoint("rain", "mm", Decimal("0.1"), None, None),)),))
    copy.again()
    row = copy.box.sheet_id(other.digest, copy.box.epoch, other.encode())[0]
    copy.take(3, row)
    copy.again()
    copy.take(1)
    copy.box.renew(make_sheet(SHEET))
    copy.again()
    found = []
    for held in copy.box.scan():
        if held.kind is Kind.ROUNDS:
            epoch, body = copy.box.sheet(held.sheet)
            assert epoch == Sheet.decode(body).epoch == copy.box.epoch
            found.append(Sheet.decode(body).groups[0].points[0].id)
    assert found == ["level"] * 2 + ["rain"] * 3 + ["level"]
    assert sum(kind is Kind.SHEET for _, kind in copy.box.first_things()) == 2, "the province gets both"
