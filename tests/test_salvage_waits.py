"""A broken store that can not be read yet, because it is locked or the disk is full: nobody waits for it, and nothing
of it is given up.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.contract import Kind, Level
from edge.entries import Rows, Standing
from edge.keeper import Keeper
from edge.outbox import Outbox
from edge.salvage import peek
from tests.broken_store import STAMP, broken, keys
from tests.relay_world import make_sheet
from tests.test_outbox import QUOTA, opened, ready, round_, saved_whole, seqs


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


def test_what_a_store_holds_in_its_log_is_seen_where_it_can_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = ready(tmp_path / "one")
    box.commit([round_(1)], limits=[Standing("high", Level.NONE, 1, 1)], sheet=1)
    box._db.execute("PRAGMA wal_checkpoint(FULL)")
    box.commit([round_(2)], limits=[Standing("high", Level.RED, 45, 2)], sheet=1, tail=Rows([(7, b"row")]))
    cut, identity = tmp_path / "cut", box.identity
    shutil.copytree(tmp_path / "one", cut)
    box.close()
    held = {file.name: file.read_bytes() for file in cut.iterdir() if not file.name.endswith("-shm")}
    for file in cut.iterdir():
        if file.name not in held:
            file.unlink()
    before, _ = peek(cut / "outbox.db")
    assert before is not None
    assert [(it.id, it.level) for it in before.standings] == [("high", Level.RED)]
    assert (before.rows, before.note.identity) == ([(7, b"row")], identity)
    assert {file.name: file.read_bytes() for file in cut.iterdir()} == held, "nothing of it is touched"

    class Blind(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            raise sqlite3.OperationalError("no such vfs")

    real = sqlite3.connect
    monkeypatch.setattr(
        sqlite3,
        "connect",
        lambda name, **how: real(name, factory=Blind, **how) if "vfs=" in name else real(name, **how),
    )
    assert peek(cut / "outbox.db")[0] is None, "an image without its log says nothing of where limits stand"
    (cut / "outbox.db-wal").unlink()
    assert peek(cut / "outbox.db")[0] is not None


def test_of_a_store_of_which_not_all_can_be_read_nobody_knows_where_limits_stand(tmp_path: Path) -> None:
    box = ready(tmp_path)
    box.commit([round_(1)], limits=[Standing("high", Level.RED, 45, 2)], sheet=1, tail=Rows([(7, b"the row")]))
    box.close()
    file = tmp_path / "outbox.db"
    data = bytearray(file.read_bytes())
    at = data.index(b"the row") // 1024 * 1024
    data[at : at + 1024] = b"\xa5" * 1024
    file.write_bytes(data)
    before, _ = peek(file)
    assert before is not None
    assert [it.id for it in before.standings] == ["high"]
    assert before.note.lost
