"""What a broken store held comes over step by step: nothing that can be read is lost, nothing comes twice, and nobody
waits for it. A time learnt and a new epoch cost a bounded step each, however much is held."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.contract import ClockQuality, Kind, Level
from edge.entries import Standing
from edge.errors import StoreBroken
from edge.keeper import Keeper
from edge.ledger import UNDATED, Books
from edge.outbox import Outbox
from edge.outbox_home import Doubt
from edge.ranges import RangeSet
from edge.salvage import peek
from edge.salvage_steps import Salvaged
from tests.fold_site import balanced
from tests.relay_world import Gateway, Network, alarms, drained, make_sheet, world
from tests.test_outbox import EVERYTHING, QUOTA, alarm, dated, opened, ready, round_, saved_whole, seqs

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


def test_alarms_and_standings_are_there_at_once_the_rest_follows_in_bounded_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.salvage_steps.STEP_ENTRIES", 500)
    epoch = broken(tmp_path)
    box, said = opened(tmp_path, stamp=STAMP)
    assert box.salvaging
    assert [(entry.kind, entry.wire_seq) for entry in box.scan()] == [(Kind.ALARM, 1001 * n) for n in range(1, 5)]
    assert box.limit_levels() == {"high": (Level.RED, 45, 3000)}
    assert (tmp_path / "outbox.salvage.db").exists()
    assert "the rest follows" in said[-1]
    found = steps(box)
    assert len(found) >= 8
    assert max(step.taken for step in found) <= 500 + 255
    assert [step.left for step in found] == sorted((step.left for step in found), reverse=True)
    assert found[-1].done.startswith(f"the broken store is kept as outbox.broken-{STAMP}.db; ")
    assert "could not be read" in found[-1].done
    saved = keys(box)
    assert len(saved) == len(set(saved)) > BIG - 40
    assert {key[0] for key in saved} == {epoch}
    assert box.salvage_step() == Salvaged(0, 0)
    assert box.account(count_rows=True).balanced


@pytest.mark.parametrize("where", [b"body000500", b"body003999", b"body000000"])
def test_a_damaged_page_costs_what_hangs_on_it(tmp_path: Path, where: bytes) -> None:
    broken(tmp_path, damage=where)
    box, _ = Outbox.open(tmp_path, QUOTA, STAMP, distrust=True)
    said = saved_whole(box)
    there = {entry.body for entry in box.scan()}
    lost = [number for number in range(BIG) if b"body%06d" % number not in there]
    assert 0 < len(lost) < 40
    assert lost == list(range(lost[0], lost[-1] + 1)), "one page"
    assert int(said[0].split("up to ")[1].split()[0]) >= len(lost) > 0


def test_a_damaged_page_high_in_the_tree_is_leapt_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.salvage.LEAP_AFTER", 20)
    broken(tmp_path, rounds=BIG, body=bytes(100))
    file = tmp_path / "outbox.db"
    data = bytearray(file.read_bytes())
    inner = [n for n in range(1, len(data) // 1024) if data[n * 1024] == 5]  # interior table pages
    data[inner[-1] * 1024 : inner[-1] * 1024 + 1024] = b"\xa5" * 1024
    file.write_bytes(data)
    box, _ = Outbox.open(tmp_path, QUOTA, STAMP, distrust=True)
    said = saved_whole(box)
    left = box.account(count_rows=True)
    assert 0 < left.held_entries < BIG
    unreadable = int(said[0].split("up to ")[1].split()[0])
    assert left.held_entries + unreadable >= BIG
    assert left.balanced


def test_a_schema_that_is_no_text_any_more_costs_the_file_and_nothing_else(tmp_path: Path) -> None:
    """SQLite's own words about it then are no text either, and Python says so with another error."""
    broken(tmp_path)
    file = tmp_path / "outbox.db"
    data = file.read_bytes()
    for place in range(1, data.count(b"CREATE TABLE") + 1):
        at = [n for n in range(len(data)) if data.startswith(b"CREATE TABLE", n)][place - 1]
        file.write_bytes(data[: at + 3] + b"\xae" + data[at + 4 :])
        assert peek(file) is not None
        box, said = Outbox.open(tmp_path, QUOTA, f"{STAMP}-{place}")
        assert said
        saved_whole(box)
        assert box.commit([]) is not None
        box.close()


def test_a_cut_between_steps_neither_loses_the_rest_nor_takes_settled_ones_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.salvage_steps.STEP_ENTRIES", 500)
    epoch = broken(tmp_path)
    box, _ = opened(tmp_path, stamp=STAMP)
    came: list[int] = []
    while box.salvaging:
        box.salvage_step(1.0)
        came += [entry.wire_seq for entry in box.scan()]
        box.commit([], [(epoch, 0, EVERYTHING)])
        with monkeypatch.context() as cut:  # the power goes in the middle of the next step
            cut.setattr(Books, "close", lambda _books: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                box.salvage_step(1.0) if box.salvaging else (_ for _ in ()).throw(KeyboardInterrupt)
        box.close()
        box, said = opened(tmp_path, stamp=STAMP)
        assert said == []
    assert len(came) == len(set(came)) > BIG - 40
    assert box.account(count_rows=True).balanced


def test_a_store_that_breaks_while_another_still_waits_loses_neither(tmp_path: Path) -> None:
    first = broken(tmp_path)
    box, _ = opened(tmp_path, stamp=STAMP)
    sheet, _ = box.sheet_id(b"n" * 16, box.epoch, b"new")
    box.commit([alarm(), round_()], limits=[Standing("high", Level.BLUE, 1, 9000)], sheet=sheet)
    second = box.epoch
    box.salvage_step(0.02)
    box.close()
    again, said = Outbox.open(tmp_path, QUOTA, STAMP, distrust=True)
    assert "put aside" in said[0]
    assert again.limit_levels() == {"high": (Level.BLUE, 1, 9000)}, "what is known last"
    again.close()
    again, said = opened(tmp_path, stamp=STAMP)
    assert said == []
    assert len(saved_whole(again)) == 2
    saved = keys(again)
    assert len(saved) == len(set(saved))
    assert len([key for key in saved if key[0] == first]) > BIG - 40
    assert len([key for key in saved if key[0] == second]) == 2
    assert len(list(tmp_path.glob("outbox.broken-*.db"))) == 2
    assert again.account(count_rows=True).balanced


def test_room_is_made_by_folding_not_by_eviction(tmp_path: Path) -> None:
    broken(tmp_path, body=bytes(80))
    box, _ = opened(tmp_path, quota=300_000)
    found = steps(box, most=20)
    assert found[-1].short
    assert found[-1].taken == 0
    assert box.account().evicted_entries == 0
    assert box.used_bytes() <= 0.92 * 300_000
    assert box.salvaging
    # The ladder frees room, here a receipt; and the step goes on where it was.
    held = box.account().held_entries
    box.commit([], [(key[0], key[1], key[1]) for key in keys(box)[10:500]])
    assert steps(box, most=1)[0].taken > 0
    # Where nothing can be folded, what does not fit is counted.
    steps(box, squeeze=True)
    account = box.account(count_rows=True)
    assert account.evicted_by["quota"][0] == account.evicted_entries > BIG - held - 600
    assert account.balanced
    assert sum(tally.held for tally in box.ledger().values()) == account.held_entries - 4
    assert (tmp_path / "outbox.db").stat().st_size <= 300_000


def test_entries_in_doubt_are_not_taken(tmp_path: Path) -> None:
    epoch = broken(tmp_path, rounds=100)
    box, _ = Outbox.open(tmp_path, QUOTA, STAMP, distrust=True, doubtful=Doubt(epoch, 50, 101))
    box.salvage_step(0.0, doubtful=Doubt(epoch, 40, 101))
    box.close()
    box, _ = opened(tmp_path)
    saved_whole(box)  # nobody knows it any more but the store
    assert max(key[1] for key in keys(box)) == 50


def test_a_file_that_somebody_holds_is_waited_for_by_nobody(tmp_path: Path) -> None:
    broken(tmp_path, rounds=100)
    holder = sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    began_s = time.monotonic()
    assert peek(tmp_path / "outbox.db") is not None
    (tmp_path / "outbox.db").rename(tmp_path / "outbox.salvage.db")
    (tmp_path / "outbox.db-wal").unlink(missing_ok=True)
    box, _ = opened(tmp_path)
    step = box.salvage_step()
    assert (step.taken, step.done, box.salvaging) == (0, "", True)
    assert time.monotonic() - began_s < 2.0
    holder.close()
    saved_whole(box)
    assert len(seqs(box)) > 50


def test_alarms_and_standings_of_a_file_that_was_locked_at_first_come_later(tmp_path: Path) -> None:
    broken(tmp_path, rounds=100, damage=b"body000050")
    (tmp_path / "outbox.db").rename(tmp_path / "outbox.salvage.db")
    holder = sqlite3.connect(tmp_path / "outbox.salvage.db", isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    box, _ = opened(tmp_path)
    assert (box.stands(), box.first_things()) == ([], [])
    assert "locked" in box.salvage_step().waits
    holder.close()
    box._db.execute("INSERT INTO limit_now VALUES ('low', 1, 2, 3)")
    step = box.salvage_step()
    assert [standing.id for standing in step.standings] == ["high"]
    assert step.commit is not None
    assert [kind for _, kind in step.commit.things] == [Kind.ALARM]
    assert box.limit_levels() == {"high": (Level.RED, 45, 0), "low": (Level.BLUE, 2, 3)}
    assert len(saved_whole(box)) == 1
    assert len(keys(box)) == len(set(keys(box)))
    assert len([entry for entry in box.scan() if entry.kind is Kind.ALARM]) == 1


def test_limits_are_restored_from_a_file_that_was_locked_at_first(tmp_path: Path) -> None:
    broken(tmp_path, rounds=100, damage=b"body000050")
    (tmp_path / "outbox.db").rename(tmp_path / "outbox.salvage.db")
    holder = sqlite3.connect(tmp_path / "outbox.salvage.db", isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    said: list[str] = []

    async def direct(work: Callable[[], Any]) -> Any:
        return work()

    async def story() -> None:
        keeper = Keeper(
            tmp_path, QUOTA, 1.0, direct, make_sheet, lambda _about, text: said.append(text), lambda: STAMP, 1
        )
        await keeper.start()
        learnt: list[list[str]] = []
        keeper.learnt = lambda: learnt.append([standing.id for standing in keeper.standings])
        for _ in range(3):
            assert not await keeper._salvage()
        assert learnt == []
        holder.close()
        while keeper.outbox.salvaging:
            await keeper._salvage()
        assert learnt == [["high"]]
        await keeper.stop()

    asyncio.run(story())
    assert [text[:52] for text in said if "locked" in text] == ["what a broken store held can not be taken over yet: "]


class Failing(sqlite3.Connection):
    """The disk under a broken file: what is read of its entries fails with `code`, while there is one."""

    code = 0

    def execute(self, query: str, *args: Any) -> Any:
        if self.code and "FROM entry WHERE seq" in query:
            error = sqlite3.OperationalError("the disk says no")
            error.sqlite_errorcode = self.code
            raise error
        return super().execute(query, *args)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[Failing]:
    connect = sqlite3.connect

    def connected(path: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        if Path(path).name == "outbox.salvage.db":
            kwargs["factory"] = Failing
        made: sqlite3.Connection = connect(path, *args, **kwargs)
        return made

    monkeypatch.setattr(sqlite3, "connect", connected)
    monkeypatch.setattr(Failing, "code", 0)
    return Failing


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR_SHMSIZE])
def test_a_disk_that_is_full_gives_up_nothing_of_what_waits(tmp_path: Path, failing: type[Failing], code: int) -> None:
    broken(tmp_path, rounds=1000, damage=b"body000500")
    box, _ = Outbox.open(tmp_path, QUOTA, STAMP, distrust=True)
    failing.code = code
    for _ in range(3):
        step = box.salvage_step()
        assert (step.taken, step.done, box.salvaging) == (0, "", True)
        assert "the disk says no" in step.waits
    failing.code = 0
    saved_whole(box)
    assert 960 < len(seqs(box)) < 1001
    assert box.account(count_rows=True).balanced


def test_what_the_card_has_lost_is_not_waited_for(tmp_path: Path, failing: type[Failing]) -> None:
    broken(tmp_path, rounds=100, damage=b"body000050")
    box, _ = Outbox.open(tmp_path, QUOTA, STAMP, distrust=True)
    failing.code = sqlite3.SQLITE_IOERR_CORRUPTFS
    while box.salvaging:
        assert not box.salvage_step().waits


def test_a_broken_file_is_read_without_its_shared_memory(tmp_path: Path) -> None:
    """There may be no room for that file."""
    broken(tmp_path)
    box, _ = Outbox.open(tmp_path, QUOTA, STAMP, distrust=True)
    (tmp_path / "outbox.salvage.db-shm").symlink_to(tmp_path / "none" / "none")
    step = box.salvage_step(5.0)
    assert (step.taken >= 1000, step.done) == (True, "")


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


def test_what_is_salvaged_into_a_small_store_is_folded_and_arrives_once(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await drained(gateway, 60)  # the sheet
        network.up = False
        gateway.keeper.outbox._db.execute("PRAGMA synchronous = OFF")
        for _ in range(6000):
            gateway.round()
            await asyncio.sleep(1)
        await gateway.alarm()
        await gateway.die()
        (tmp_path / "store" / "outbox.db").rename(tmp_path / "store" / "outbox.salvage.db")
        again = Gateway(tmp_path / "store", network)
        network.links[:] = network.links[-1:]
        again.keeper._quota_bytes = 250_000
        again.taken = gateway.taken
        await again.start()
        again.keeper.outbox._db.execute("PRAGMA synchronous = OFF")
        for _ in range(300):
            again.round()
            await asyncio.sleep(1)
        assert any("entries were saved" in text for text in again.said)
        account = again.keeper.outbox.account(count_rows=True)
        assert account.evicted_entries == 0
        assert account.folded_entries > 2900
        assert account.balanced
        network.up = True
        await drained(again, 600)
        db = network.province._store._db
        raw = db.execute("SELECT steps FROM readings WHERE point = 'p0'").fetchall()
        (count,) = db.execute("SELECT SUM(count) FROM summaries WHERE point = 'p0'").fetchone()
        assert len(raw) == len(set(raw))
        assert len(raw) + count == again.taken
        assert len(alarms(network)) == 1
        await again.die()
        await gateway.start()

    world(tmp_path, story)
