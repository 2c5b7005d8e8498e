"""Nothing that is in a store ends a start: each column of each table with values of other types, none, huge ones."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2
import pytest

from edge.contract import Level
from edge.ledger import DAY_MS, Tally
from sim.virtual import run
from tests.outputs_site import T0_MS, Rig, action, output

NONSENSE = (None, "x", b"\xff\xff", 1.5, 9e999, -1, 0, 2**62, 2**63 - 1, -(2**63))
MORE = """
[[limit]]
id = "band"
point = "level"
outside = { yellow = [1, 5] }
[[limit]]
id = "wet"
point = "gas"
of = "sum"
window = "2h"
above = { red = 1000000 }
"""
SITE = output("siren", 0) + action("wail", "high", 'output = "siren"\nlevel = "red"\nmax_on = "20min"') + MORE
LIMITS = ("limit_now", "limit_told", "limit_tail", "alarm_past")  # read at each start for what limits go on from
OTHERS = ("store", "ledger", "sheet", "entry", "under_way", "sqlite_sequence")


@dataclass
class Life(Rig):
    """One life of a daemon in a folder; `ok`: it ran to the end, and no part of it failed."""

    ok: bool = False

    def __init__(self, folder: Path, boot: int) -> None:
        super().__init__(folder, SITE)
        self.boot, self.later_ms = boot, boot * 60_000
        self.set(0, 6)

    async def live(self, rig: Rig) -> None:
        assert rig.daemon is not None
        await asyncio.sleep(9.0)
        running = {task.get_name() for task in asyncio.all_tasks()}
        self.ok = {"intake", "alarms", "keeper", "ticker", "limits", "relay"} <= running
        self.ok = self.ok and not any("fault of ours" in event["text"] for event in rig.daemon.journal.events)
        self.levels, self.sounds = rig.daemon.limits.levels(), self.on(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a gateway that was killed while a level stood."""
    made = tmp_path_factory.mktemp("made")
    life, cut = Life(made, 1), made.with_name("cut")

    async def story(rig: Rig) -> None:
        await life.live(rig)
        shutil.copytree(made, cut, ignore=shutil.ignore_patterns("s", "lock", "limits"))

    run(life.play(story))
    assert life.ok
    assert life.sounds
    with sqlite3.connect(cut / "store" / "outbox.db") as db:  # of yesterday
        db.execute("INSERT INTO ledger VALUES (?, 1, 0, ?)", (T0_MS // DAY_MS - 1, cbor2.dumps(Tally().plain())))
    return cut


def columns(folder: Path, tables: Sequence[str]) -> list[tuple[str, str]]:
    with sqlite3.connect(folder / "store" / "outbox.db") as db:
        found = [(table, row[1]) for table in tables for row in db.execute(f"PRAGMA table_info({table})")]
        assert all(db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables)
    return found


def spoil(path: Path, table: str, column: str, value: Any) -> bool:
    """Writes it into all rows, past what the schema asks for; whether there was one that took it."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '/*NOT NULL*/') WHERE type = 'table'")
        db.close()
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA ignore_check_constraints = ON")
        taken = db.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", (value,)).rowcount
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, '/*NOT NULL*/', ' NOT NULL')")
    except sqlite3.IntegrityError:  # no disk holds text for the number of a row
        return False
    finally:
        db.close()
    return bool(taken)


def starts(folder: Path, tmp_path: Path, table: str, column: str, value: Any) -> Life | None:
    again = tmp_path / "again"
    shutil.rmtree(again, ignore_errors=True)
    shutil.copytree(folder, again)
    if not spoil(again / "store" / "outbox.db", table, column, value):
        return None
    life = Life(again, 2)
    run(life.play(life.live))
    return life


def test_the_store_of_the_story_has_a_row_of_each_table(folder: Path) -> None:
    assert {table for table, _ in columns(folder, LIMITS + OTHERS)} == set(LIMITS + OTHERS)
    with sqlite3.connect(folder / "store" / "outbox.db") as db:
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == set(LIMITS + OTHERS), "a table that is new is to be tried here too"


@pytest.mark.parametrize("table", LIMITS)
def test_a_level_goes_on_to_stand_and_to_sound_whatever_is_wrong_with_its_rows(
    table: str, folder: Path, tmp_path: Path
) -> None:
    for _, column in columns(folder, [table]):
        for value in NONSENSE:
            life = starts(folder, tmp_path, table, column, value)
            if life is not None:
                assert (life.ok, life.sounds, life.levels["high"]) == (True, True, Level.RED), (
                    f"{table}.{column} = {value!r}"
                )


@pytest.mark.parametrize("turn", range(2))
@pytest.mark.parametrize("table", OTHERS)
def test_a_gateway_starts_and_judges_whatever_is_in_its_store(
    table: str, turn: int, folder: Path, tmp_path: Path
) -> None:
    """Each column with two of the values: which ones, goes round."""
    for place, (_, column) in enumerate(columns(folder, [table])):
        value = NONSENSE[(place + 5 * turn + len(column)) % len(NONSENSE)]
        life = starts(folder, tmp_path, table, column, value)
        if life is not None:
            assert (life.ok, life.levels["high"]) == (True, Level.RED), f"{table}.{column} = {value!r}"
