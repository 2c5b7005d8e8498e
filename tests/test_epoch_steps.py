"""A time learnt and a new epoch cost a bounded step each, however much is held."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edge.contract import ClockQuality
from edge.errors import StoreBroken
from edge.ledger import UNDATED, Books
from edge.outbox import Outbox
from edge.ranges import RangeSet
from tests.broken_store import STAMP, keys
from tests.fold_site import balanced
from tests.test_outbox import QUOTA, alarm, dated, opened, ready, round_, saved_whole, seqs


def test_a_store_of_an_earlier_program_opens(tmp_path: Path) -> None:
    box = ready(tmp_path)
    box.commit([round_()], sheet=1)
    box._db.execute("DROP TABLE under_way")
    box.close()
    again, said = opened(tmp_path)
    assert (said, seqs(again)) == ([], [1])
    again.set_boot(1)
    again.commit([round_(clock=ClockQuality.UNKNOWN)], sheet=1)
    assert again.backdate_step(1, 10**12, ClockQuality.TRUSTED) == 0


# -- a time learnt ---------------------------------------------------------------------------------------------------


def undated(box: Outbox, boot: int, count: int, every_ms: int = 1000) -> None:
    box.set_boot(boot)
    box.commit([round_(n * every_ms, clock=ClockQuality.UNKNOWN) for n in range(count)], sheet=1)


@pytest.mark.parametrize("most", [1, 3, 7, 100])
def test_times_learnt_in_steps_are_those_learnt_at_once_whatever_comes_between(tmp_path: Path, most: int) -> None:
    box = ready(tmp_path)
    for boot, count in ((30, 5), (10, 6), (20, 4)):
        undated(box, boot, count)
    left = box.backdate_step(20, 1_000_000_000, ClockQuality.TRUSTED, most)
    while left:
        box.close()  # the power goes; the clock is not asked the same question again
        box, _ = opened(tmp_path)
        assert left == box.undated()
        left = box.backdate_step(99, 5_000_000_000, ClockQuality.TRUSTED, most)
        assert balanced(box)
    at_s = [entry.at_ms // 1000 - 1_000_000 for entry in box.scan()]
    assert at_s == [*range(-9, -4), *range(-5, 1), *range(4)]
    assert {entry.clock for entry in box.scan()} == {ClockQuality.FREE, ClockQuality.TRUSTED}
    assert UNDATED not in {key.day for key, tally in box.ledger().items() if tally.held}


def test_what_of_a_boot_comes_later_gets_the_same_time(tmp_path: Path) -> None:
    box = ready(tmp_path)
    undated(box, 1, 3)
    undated(box, 2, 3)
    assert dated(box, 2, 1_000_000_000) == 6
    undated(box, 1, 3)  # as salvaged
    assert dated(box, 2, 1_000_000_000) == 3
    times = [entry.at_ms for entry in box.scan()]
    assert times[:3] == times[6:]


# -- a new epoch -----------------------------------------------------------------------------------------------------


def anew(box: Outbox) -> int:
    number = len(box.sheets())
    return box.renew(lambda epoch, _seq, _bodies: (bytes([number]) * 16, b"sheet of %d" % epoch))


def test_a_new_epoch_gives_the_young_a_new_identity_and_leaves_the_old_theirs(tmp_path: Path) -> None:
    box = ready(tmp_path)
    box.commit([round_(), alarm(), round_()], sheet=1)
    with box._transaction():
        box._set_mark(None)  # the province has confirmed one that was given since
    box.close()
    box, _ = opened(tmp_path)
    box.commit([round_(), alarm()], sheet=1)
    old = box.epoch
    assert anew(box) == 5
    new = box.epoch
    sheet = box.sheets()[0][0]
    box.commit([round_()], sheet=sheet)
    wanted = [(old, 1), (old, 2), (old, 3), (new, 4), (new, 5), (new, 6), (new, 7)]
    assert keys(box) == wanted
    box.commit([], [(old, 4, 5)])
    assert keys(box) == wanted, "the old epoch's 4 and 5 are another copy's"
    box.close()
    box, _ = opened(tmp_path)
    assert keys(box) == wanted, "after a restart too"
    box.forget_sheets(sheet)
    assert keys(box) == wanted
    # The same happens to the same card once more.
    box.commit([round_()], sheet=sheet)
    anew(box)
    newest = box.epoch
    assert keys(box)[:7] == [*wanted[:5], (newest, 6), (newest, 7)], "the province had not confirmed 7"
    assert keys(box)[7] == (newest, 8)
    box.commit([], [(new, 4, 99)])
    assert [key for key in keys(box) if key[0] == new] == []
    box.commit([], [(old, 1, 99), (newest, 1, 99)])
    assert keys(box) == []
    assert box.account(count_rows=True).balanced


def test_a_new_epoch_in_one_transaction_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = ready(tmp_path)
    box.commit([round_(), alarm()], sheet=1)
    before = box.epoch, keys(box)
    with monkeypatch.context() as cut:
        cut.setattr(Books, "close", lambda _books: (_ for _ in ()).throw(sqlite3.OperationalError("disk I/O error")))
        with pytest.raises(StoreBroken):
            anew(box)
    assert (box.epoch, keys(box)) == before
    box.close()
    box, _ = opened(tmp_path)
    assert (box.epoch, keys(box)) == before


def test_what_a_broken_store_with_two_epochs_held_keeps_its_identities(tmp_path: Path) -> None:
    box = ready(tmp_path)
    box.commit([round_(), alarm()], sheet=1)
    box.close()
    box, _ = opened(tmp_path)
    box.commit([round_(), alarm()], sheet=1)
    anew(box)
    wanted = [key for key in keys(box) if key[1] != 5]  # the sheet's own entry gets a new one
    box.close()
    again, _ = Outbox.open(tmp_path, QUOTA, STAMP, distrust=True)
    saved_whole(again)
    assert sorted(key for key in keys(again) if key[0] != again.epoch and key[1] < 5) == sorted(wanted)


def test_work_in_hand_is_bounded_however_much_is_held(tmp_path: Path) -> None:
    """Pages written by one step, not times: those of a busy machine say nothing."""
    pages = []
    for count in (2000, 20_000):
        box = ready(tmp_path / str(count))
        undated(box, 1, count)
        box._db.execute("PRAGMA wal_checkpoint(RESTART)")
        box.backdate_step(1, 10**12, ClockQuality.TRUSTED, 500)
        box.opened_seq = 0
        anew(box)
        (_, log, _) = box._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        pages.append(log)
        assert len(list(box.rounds(RangeSet(), 1, 10, 5, 99))) == 5
    assert pages[1] < pages[0] * 1.5


def test_the_log_does_not_stay_as_long_as_its_longest_commit(tmp_path: Path) -> None:
    box = ready(tmp_path)
    log = tmp_path / "outbox.db-wal"
    box.commit([round_()._replace(body=bytes(200))] * 20_000, sheet=1)
    assert log.stat().st_size > 3_000_000
    for _ in range(3):
        box.commit([round_()], sheet=1)
    assert log.stat().st_size <= 1_000_000
