"""The world's memory card (sim/world/disk.py) under the real store: cut in the middle of everything it does.

What is promised of the store must hold on it, and a store that promises too much must be found out.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from edge import outbox as outbox_module
from edge.contract import ClockQuality, Kind
from edge.entries import NewEntry
from edge.errors import StoreBroken
from edge.outbox import FILE_NAME, Outbox
from sim.world.disk import Disk, PowerOff

QUOTA_BYTES = 50_000_000
WRAP_PAGES = 24  # the log begins anew after so many pages here, so that many a cut meets a checkpoint
STAMP = "20261122T000000Z"
CUTS = 200
CUT_WITHIN = 60  # writes and syncs: some three steps
ENOUGH_CUTS = 40  # for a store that does not wait for its disk, or a disk that lies

Bodies = Counter[bytes]


@pytest.fixture(autouse=True)
def _short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "WAL_AUTOCHECKPOINT_PAGES", WRAP_PAGES)


class Promises:
    """Does chance's steps on a store. `held`, `after`: the bodies promised, and those of the step now going on."""

    def __init__(self, folder: Path, disk: Disk, random: Random, synchronous: str = "FULL") -> None:
        self.folder, self.disk, self.random = folder, disk, random
        self.synchronous = synchronous
        self.number = self.counters = self.epoch = 0
        self.doing = ""
        self.held: Bodies = Counter()
        self.after: Bodies = Counter()
        self.box: Outbox | None = None

    def open(self) -> list[str]:
        self.doing = "open"
        self.box, said = Outbox.open(self.folder, QUOTA_BYTES, STAMP)
        self.box._db.execute(f"PRAGMA synchronous = {self.synchronous}")
        if self.box.epoch != self.epoch:
            self.epoch, self.counters = self.box.epoch, 0
        return said

    def step(self) -> None:
        box = self.box
        assert box is not None
        steps = (self.commit, self.commit, self.commit, self.fold, self.reserve, self.renew)
        work = self.random.choices(steps, (6, 6, 6, 3, 2, 1))[0]
        self.doing = work.__name__
        work(box)
        self.held = self.after
        self.epoch = box.epoch

    def entry(self, kind: Kind, sheet: int, size: int) -> NewEntry:
        self.number += 1
        body = f"entry {self.number} ".encode() * size
        window_s = 60 if kind is Kind.SUMMARY else 0
        readings = 10 if kind is Kind.ROUNDS else 0
        return NewEntry(kind, 0, 1000 * self.number, ClockQuality.FREE, readings, body, sheet, window_s)

    def commit(self, box: Outbox) -> None:
        sheet = _sheet(box)
        kinds = self.random.choices((Kind.ROUNDS, Kind.ALARM), (4, 1), k=self.random.randint(1, 4))
        entries = [self.entry(kind, sheet, self.random.choice((1, 20, 150))) for kind in kinds]
        receipts = []
        self.after = self.held + Counter(entry.body for entry in entries)
        if self.random.random() < 0.3:
            high = box.last_seq() - self.random.randint(2, 10)
            receipts = [(box.epoch, 1, high)]
            self.after -= Counter(
                e.body for e in box.scan() if e.wire_seq <= high and box.sheet(e.sheet)[0] == box.epoch
            )
        box.commit(entries, receipts, sheet=sheet)

    def fold(self, box: Outbox) -> None:
        rounds = [entry for entry in box.scan() if entry.kind is Kind.ROUNDS][:6]
        self.after = self.held
        if rounds:
            summary = self.entry(Kind.SUMMARY, _sheet(box), 5)
            self.after = self.held - Counter(entry.body for entry in rounds) + Counter([summary.body])
            box.fold([entry.seq for entry in rounds], summary, box.last_seq() + 1)

    def reserve(self, box: Outbox) -> None:
        self.after = self.held
        self.counters = box.reserve_counters(100) + 100

    def renew(self, box: Outbox) -> None:
        self.after = self.held
        box.renew(lambda epoch, _seq, _bodies: (epoch.to_bytes(16, "big"), b"sheet"))
        self.counters = 0

    def broken(self, said: list[str]) -> str:
        """What is not as promised, after a cut; "" when all is. From here on what is there is what is promised."""
        box = self.box
        assert box is not None
        there = Counter(entry.body for entry in box.scan() if entry.kind is not Kind.SHEET)
        if said:
            return f"a sound store was taken for broken: {said}"
        if there not in (self.held, self.after):
            return f"{(self.held - there).total()} entries lost, {(there - self.held).total()} too many"
        if not box.account(count_rows=True).balanced:
            return f"the account is not balanced: {box.account()}"
        if box.reserve_counters(1) < self.counters:
            return "packet counters are given again"
        self.held = there
        return ""


def _sheet(box: Outbox) -> int:
    return box.sheet_id(box.epoch.to_bytes(16, "big"), box.epoch, b"sheet")[0]


class Watched(Disk):
    """Counts the cuts that come while pages are on their way from the log into the store."""

    def cut(self) -> None:
        for file in self._files.values():
            if file.unsynced and Path(f"/proc/self/fd/{file.handle}").readlink().name == FILE_NAME:
                self.counts["in a checkpoint"] += 1
        super().cut()


def live(
    folder: Path, seed: int, cuts: int, synchronous: str = "FULL", *, lies: bool = False
) -> tuple[list[str], Counter[str]]:
    """Lives of a store, each ended by a cut in the middle of a write or sync. Returns what was broken, and what the
    cuts met. Ends at the first failure."""
    random = Random(f"{seed}/life")
    disk = Watched(folder, Random(f"{seed}/disk"))
    disk.lies = lies
    promises = Promises(disk.folder, disk, random, synchronous)
    met: Counter[str] = Counter()
    disk.struck = lambda: met.update([promises.doing])
    with disk:
        for _ in range(cuts):
            disk.cut_at_write = random.randint(1, CUT_WITHIN)
            _until_cut(promises)
            promises.box = None
            disk.revive()
            try:
                problem = promises.broken(promises.open())
            except StoreBroken as error:
                problem = str(error)
            if problem:
                return [f"seed {seed}, cut {disk.counts['cuts']}: {problem}"], met
        return [], met + disk.counts


def _until_cut(promises: Promises) -> None:
    try:
        if promises.box is None:
            promises.open()
        while True:
            promises.step()
    except (StoreBroken, PowerOff):
        assert not promises.disk.is_on


# -- what was committed is there -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_committed_entries_survive_any_cut_in_the_middle_of_anything(seed: int, tmp_path: Path) -> None:
    broken, met = live(tmp_path, seed, CUTS)
    assert not broken
    assert all(met[name] for name in ("commit", "fold", "reserve", "renew", "torn", "in a checkpoint")), met


def test_a_first_start_that_is_cut_at_any_write_leaves_a_store_or_none(tmp_path: Path) -> None:
    cuts = 0
    for seed in range(CUTS):
        folder = tmp_path / str(seed)
        with Disk(folder, Random(seed)) as disk:
            disk.cut_at_write = 1 + seed % 40
            try:
                Outbox.open(folder, QUOTA_BYTES, STAMP)
            except (StoreBroken, PowerOff):
                assert not disk.is_on
            cuts += disk.counts["cuts"]
            disk.cut()
            disk.revive()
            box, said = Outbox.open(folder, QUOTA_BYTES, STAMP)
            assert not said
            assert box.last_seq() == 0
    assert cuts > CUTS // 4


# -- it has teeth ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_a_store_that_does_not_wait_for_the_card_is_found_out(synchronous: str, tmp_path: Path) -> None:
    broken, _ = live(tmp_path, 1, ENOUGH_CUTS, synchronous)
    assert broken


def test_a_card_that_lies_is_found_out(tmp_path: Path) -> None:
    broken, _ = live(tmp_path, 1, ENOUGH_CUTS, lies=True)
    assert broken


def test_a_new_store_that_is_named_before_it_is_synced_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = 0
    for seed in range(ENOUGH_CUTS):
        folder = tmp_path / str(seed)
        with Disk(folder, Random(seed)) as disk:
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", lambda _: None)
                Outbox.open(folder, QUOTA_BYTES, STAMP)
            disk.cut()
            disk.revive()
            try:
                lost += bool(Outbox.open(folder, QUOTA_BYTES, STAMP)[1])
            except StoreBroken:
                lost += 1
    assert lost


# -- the same again --------------------------------------------------------------------------------------------------


def _story(folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str], Counter[str]]:
    """What the folder holds after some cuts, as a digest; what was drawn for salts is the disk's, for epochs ours."""
    with monkeypatch.context() as patch:
        patch.setattr(secrets, "randbits", Random(f"{seed}/epoch").getrandbits)
        broken, met = live(folder, seed, 10)
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest(), broken, met


def test_the_same_seed_leaves_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _story(tmp_path / "first", 5, monkeypatch)
    sqlite3.connect(":memory:").execute("SELECT randomblob(1000)")  # others draw from SQLite's chance in between
    assert _story(tmp_path / "again", 5, monkeypatch) == first
    assert _story(tmp_path / "other", 6, monkeypatch)[0] != first[0]
