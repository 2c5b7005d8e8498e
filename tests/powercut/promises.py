"""What must hold of a store that a cut has left: opens it with the real code, looks, and goes on with it.

The promises are in the recording (tests/powercut/workload.py): at any moment the last {"done": ...} is what was
promised, and the next one what may be there already.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.contract import ClockQuality, Kind
from edge.entries import NewEntry
from edge.errors import FengsuiError
from edge.link_memory import FileMemory
from edge.outbox import Outbox
from tests.powercut.record import Event, Told
from tests.powercut.workload import QUOTA_BYTES, SITE, STORE, _directly, look

AGAIN_STAMP = "20261122T000001Z"
GO_ON_EVERY = 5  # so many states are looked at for each that is also written to: that costs as much again

Look = dict[str, Any]
NOTHING: Look = {"epoch": None, "last_seq": 0, "entries": [], "limits": {}, "sheets": [], "account": "", "ledger": ""}


class StorePromises:
    """The check of one recording. `held` is what the store held before it began, None when there was none."""

    def __init__(self, events: Sequence[Event], held: Look | None) -> None:
        self._told = [json.loads(event.text) for event in events if isinstance(event, Told)]
        self._first = held
        self._asked = 0
        self._owner: dict[tuple[int, int], list[Any]] = {}
        looks = [held] if held else []
        for seen in [*looks, *(words["done"] for words in self._told if "done" in words)]:
            for entry in seen["entries"]:
                self._owner.setdefault(tuple(entry["key"]), entry["value"])

    def __call__(self, folder: Path, told: int) -> list[str]:
        self._asked += 1
        past = self._told[:told]
        before = next((words["done"] for words in reversed(past) if "done" in words), self._first)
        step = next((words for words in reversed(past) if "begin" in words), {"begin": "start", "how": "many"})
        after = next((words["done"] for words in self._told[told:] if "done" in words), before)
        try:
            box, said = Outbox.open(folder / STORE, QUOTA_BYTES, AGAIN_STAMP)
        except FengsuiError as error:
            return [f"in {step['begin']!r}: it does not open: {error}"]
        try:
            while box.salvaging:
                box.salvage_step(1.0)
            now = look(box)
            problems = self._judge(now, before, after, step, said)
            problems += self._common(box, now, past, step)
            if self._asked % GO_ON_EVERY == 0:
                problems += _goes_on(box, now, folder)
        except (FengsuiError, KeyError, TypeError, ValueError) as error:
            problems = [f"{type(error).__name__}: {error}"]
        finally:
            box.close()
        return [f"in {step['begin']!r}: {problem}" for problem in problems]

    def _judge(self, now: Look, before: Look | None, after: Look | None, step: Look, said: list[str]) -> list[str]:
        if before is None:
            before = {
                "entries": [],
                "epoch": None,
                "last_seq": 0,
                "limits": {},
                "sheets": [],
                "account": "",
                "ledger": "",
            }
        if step["how"] == "one" or before == after:
            if now in (before, after):
                return [f"a sound store was taken for broken: {said}"] if said else []
            if step["how"] == "one":
                return [_differ(now, before)]
        return self._between(now, before, after or before)

    def _between(self, now: Look, before: Look, after: Look) -> list[str]:
        """Entries by value: none of those held before and after is missing, none is there twice or from nowhere."""
        sets = [Counter(_values(seen)) for seen in (now, before, after)]
        there, old, new = sets
        lost, strange = (old & new) - there, there - (old | new)
        problems = [f"{sum(lost.values())} entries lost: {sorted(lost)[:3]}"] if lost else []
        problems += [f"{sum(strange.values())} entries too many: {sorted(strange)[:3]}"] if strange else []
        kept = {limit: stands for limit, stands in before["limits"].items() if after["limits"].get(limit) == stands}
        if any(now["limits"].get(limit) != stands for limit, stands in kept.items()):
            problems.append(f"limits stand at {now['limits']}, not at {kept}")
        return problems

    def _common(self, box: Outbox, now: Look, past: list[Look], step: Look) -> list[str]:
        problems = [] if box.account(count_rows=True).balanced else [f"the account is not balanced: {box.account()}"]
        for entry in now["entries"]:
            owner = self._owner.get(tuple(entry["key"]))
            if owner is not None and owner != entry["value"]:
                problems.append(f"identity {entry['key']} was given twice: {owner}, {entry['value']}")
        again = {tuple(key) for key in step.get("not_again", ())}
        if again and now["epoch"] not in {epoch for epoch, _ in again}:
            kept = sorted(again & {tuple(entry["key"]) for entry in now["entries"]})
            problems += [f"entries {kept} keep an identity that another copy has given"] if kept else []
        used = max((words["counters"][1] for words in past if words.get("counters", [0])[0] == now["epoch"]), default=0)
        first = box.reserve_counters(1)
        if first < used:
            problems.append(f"packet counter {first} is given again, {used} were handed out")
        return problems


class FilePromises:
    """The check of the small files: the last good copy of the site file, a link's memory."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._told = [json.loads(event.text) for event in events if isinstance(event, Told)]

    def __call__(self, folder: Path, told: int) -> list[str]:
        past = self._told[:told]
        began, copied, saved = (max((w[k] for w in past if k in w), default=-1) for k in ("saving", "copied", "saved"))
        problems = []
        memory = FileMemory(folder / "state" / "link.beidou", _directly)
        words = {number: f"slot {number}".encode() * (1 + 100 * (number % 2)) for number in range(began + 1)}
        words[-1] = b""
        found = next((n for n, data in words.items() if data == asyncio.run(memory.load())), None)
        if found is None or not saved <= found <= began:
            problems.append(f"the link remembers number {found}, {saved} was saved")
        copy = folder / "state" / "site.toml.good"
        texts = {SITE.format(number).encode(): number for number in range(began + 1)}
        number = texts.get(copy.read_bytes()) if copy.exists() else -1
        if number is None or not copied <= number <= began:
            problems.append(f"the last good copy is number {number}, {copied} was kept")
        return problems


def _values(seen: Look) -> list[tuple[Any, ...]]:
    return [tuple(entry["value"]) for entry in seen["entries"]]


def _differ(now: Look, before: Look) -> str:
    there, wanted = Counter(_values(now)), Counter(_values(before))
    parts = [f"{sum((wanted - there).values())} entries missing, {sum((there - wanted).values())} too many"]
    others = [name for name in before if name != "entries" and before[name] != now[name]]
    parts += [f"{name} {before[name]} -> {now[name]}" for name in others]
    return ", ".join(parts)


def _goes_on(box: Outbox, now: Look, folder: Path) -> list[str]:
    """A new entry is taken under a new seq, settled by its receipt, and a second start changes nothing."""
    sheet, _ = box.sheet_id(b"f" * 16, box.epoch, b"later")
    seq = box.commit([NewEntry(Kind.ALARM, 0, 1, ClockQuality.FREE, 0, b"later")], sheet=sheet).seqs[0]
    box.close()
    again, said = Outbox.open(folder / STORE, QUOTA_BYTES, AGAIN_STAMP)
    try:
        problems = [f"the second start says {said}"] if said else []
        if seq <= now["last_seq"]:
            problems.append(f"seq {seq} is given again")
        again.commit([], [(again.epoch, seq, seq)])
        if Counter(_values(look(again))) != Counter(_values(now)):
            problems.append("after a second start something else is held")
        return problems
    finally:
        again.close()
