"""Deliberate faults in the daemon, each a mistake a programmer could make, to prove that the world sees them.

A mutant is a small change of the daemon's own source text, made in this process while a context lasts: `edit` takes a
function's text, replaces a piece of it and puts what comes of it in the function's place (unittest.mock). A piece that
is not there any more, or there more than once, raises `Gone` when the mutant is applied: then look what has become of
the code, and make the same mistake in it.

Each mutant names a story of tests/world_stories.py that shows it, and the promise that the judges then find broken.
"""

from __future__ import annotations
import __future__

import contextlib
import importlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import FunctionType
from typing import Any
from unittest import mock

# All of the daemon is imported before anything is changed: what is imported later would keep the change.
WHOLE = (
    *("edge.daemon", "drivers.modbus.sensor", "drivers.serial_line.sensor", "drivers.mqtt.link", "drivers.beidou.link"),
    "sim.world.world",
)
for _module in WHOLE:
    importlib.import_module(_module)

Change = Callable[[], AbstractContextManager[None]]


class Gone(LookupError):
    """What a mutant changes is not there any more."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`promise`: of DESIGN, as the judges call it. `story`: the name of one that shows the fault."""

    name: str
    promise: str
    story: str
    change: Change


def edit(where: str, *changes: tuple[str, str]) -> Change:
    """Replaces pieces of the text of `module:Class.function` or `module:function`."""

    @contextlib.contextmanager
    def changed() -> Iterator[None]:
        owner, name = _owner(where)
        made = _rewritten(owner, name, where, changes)
        with contextlib.ExitStack() as stack:
            for place in _places(owner, name):
                stack.enter_context(mock.patch.object(place, name, made))
            yield

    return changed


def const(where: str, value: object) -> Change:
    """Gives `module:NAME` another value."""

    @contextlib.contextmanager
    def changed() -> Iterator[None]:
        owner, name = _owner(where)
        if not hasattr(owner, name):
            raise Gone(f"{where} is gone")
        with mock.patch.object(owner, name, value):
            yield

    return changed


def both(*parts: Change) -> Change:
    """A mistake made in several places."""

    @contextlib.contextmanager
    def changed() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for part in parts:
                stack.enter_context(part())
            yield

    return changed


def _owner(where: str) -> tuple[Any, str]:
    module, _, path = where.partition(":")
    owner: Any = importlib.import_module(module)
    *classes, name = path.split(".")
    for one in classes:
        if not hasattr(owner, one):
            raise Gone(f"{where} is gone")
        owner = getattr(owner, one)
    return owner, name


def _places(owner: Any, name: str) -> list[Any]:
    """Where it stands: in its class, or in each module that has it by its name."""
    if isinstance(owner, type):
        return [owner]
    ours = [module for key, module in sorted(sys.modules.items()) if key.partition(".")[0] in ("edge", "drivers")]
    return [module for module in ours if vars(module).get(name) is vars(owner)[name]]


def _rewritten(owner: Any, name: str, where: str, changes: tuple[tuple[str, str], ...]) -> Any:
    raw = vars(owner).get(name)
    if raw is None:
        raise Gone(f"{where} is gone")
    function = raw.fget if isinstance(raw, property) else inspect.unwrap(getattr(raw, "__func__", raw))
    assert isinstance(function, FunctionType)
    text = textwrap.dedent(inspect.getsource(function))
    for old, new in changes:
        if text.count(old) != 1:
            raise Gone(f"{where} has {old!r} {text.count(old)} times")
        text = text.replace(old, new)
    # The text of a method may name its class without saying so: super().
    text = "def _in_its_class(__class__):\n" + textwrap.indent(text, "    ") + f"\n    return {name}\n"
    made: dict[str, Any] = {}
    flags = __future__.annotations.compiler_flag
    exec(compile(text, f"<mutant of {where}>", "exec", flags=flags, dont_inherit=True), function.__globals__, made)
    return made["_in_its_class"](owner)


LIMITS = "edge.limits:Limits."
CLOCK = "edge.clock:Clock."

MUTANTS: tuple[Mutant, ...] = (
    # -- receipts and custody --------------------------------------------------------------------------------------
    Mutant(
        "receipts ignored",
        "2 custody",
        "roads",
        edit("edge.relay:Relay._receipt", ("self._keeper.settle(entries_epoch, low, high)", "pass")),
    ),
    Mutant(
        "settled when the broker has it",
        "2 custody",
        "province",
        edit(
            "edge.relay:Relay._hand_over",
            (
                "way.handed(cargo, sent, asyncio.get_running_loop().time())",
                "way.handed(cargo, sent, asyncio.get_running_loop().time())\n"
                "        for low, high in cargo.packed.ranges if cargo.packed and sent is Sent.SENT else ():\n"
                "            self._keeper.settle(self._keeper.sheet.epoch, low, high)",
            ),
        ),
    ),
    Mutant(
        "receipts of another epoch believed",
        "1 kept",
        "disk",
        edit(
            "edge.relay:Relay._receipt",
            ("epoch if receipt.epoch is None else receipt.epoch", "self._keeper.sheet.epoch"),
        ),
    ),
    Mutant(
        "what is overdue stays on the way",
        "1 kept",
        "roads",
        edit("edge.transit:Transit.overdue", ("if flight.due_s <= now_s", "if flight.due_s <= 0")),
    ),
    Mutant(
        "a sheet that is asked for is not sent",
        "1 kept",
        "province",
        edit("edge.relay:Relay._need_sheet", ("self._start(self._take_sheet(short))", "pass")),
    ),
    Mutant(
        "what is folded is not counted",
        "2 custody",
        "full",
        edit("edge.outbox:Outbox.fold", ("books.fold(pieces)", "pass")),
    ),
    # -- the disk --------------------------------------------------------------------------------------------------
    Mutant(
        "synchronous = OFF",
        "1 kept",
        "cuts",
        edit("edge.outbox:Outbox._attach", ("PRAGMA synchronous = FULL", "PRAGMA synchronous = OFF")),
    ),
    Mutant(
        "synchronous = NORMAL",
        "1 kept",
        "cuts",
        edit("edge.outbox:Outbox._attach", ("PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL")),
    ),
    Mutant(
        "rounds are committed each two minutes",
        "1 kept",
        "cuts",
        edit("edge.keeper:Keeper._due_s", ("self._last_flush_s + self._commit_every_s", "self._last_flush_s + 120")),
    ),
    Mutant(
        "packet counters not reserved on the disk",
        "4 once",
        "cuts",
        edit(
            "edge.outbox_write:OutboxWriter.reserve_counters",
            ('self._db.execute("UPDATE store SET counter_high = ?", (first + count,))', "pass"),
        ),
    ),
    Mutant(
        "each new store has the same epoch",
        "1 kept",
        "disk",
        edit("edge.outbox_file:fill_new", ("secrets.randbits(32)", "20261122")),
    ),
    Mutant(
        "seqs are given again when the store was empty",
        "2 custody",
        "roads",
        edit(
            "edge.outbox_write:OutboxWriter._insert",
            ("INSERT INTO entry (kind,", "INSERT INTO entry (seq, kind,"),
            (" VALUES (?, ?", " VALUES ((SELECT COALESCE(MAX(seq), 0) + 1 FROM entry), ?, ?"),
        ),
    ),
    Mutant(
        "memory's entries are not brought home",
        "1 kept",
        "disk",
        edit("edge.housing:Housing._bring", ("if not self._leaving:", "if True:")),
    ),
    Mutant(
        "a stop does not wait for the commit",
        "1 kept",
        "cuts",
        both(
            edit("edge.keeper:Keeper.stop", ("await self._flush()", "pass")),
            edit("edge.daemon:Daemon._run", ("await self._commit_raised()", "pass")),
        ),
    ),
    # -- alarms ----------------------------------------------------------------------------------------------------
    Mutant(
        "alarms wait behind rounds",
        "3 alarms",
        "backlog",
        both(
            edit(
                "edge.plan:next_step",
                ("if queue.alarms:", "if queue.alarms and isinstance(_bulk(link, queue, now_s), Wait):"),
            ),
            edit("edge.plan:_bulk", ("(link.window > 1 and link.on_way >= link.window - 1)", "False")),
        ),
    ),
    Mutant(
        "alarms wait for the next commit",
        "3 alarms",
        "alarms",
        edit(
            "edge.daemon:Daemon._commit_raised",
            (
                "await self.keeper.take_now([alarm_entry(alarm) for alarm in raised], standings)",
                "[self.keeper.take(alarm_entry(alarm)) for alarm in raised]; self.keeper._standings.extend(standings)",
            ),
        ),
    ),
    Mutant(
        "alarms go out by the first link only, once",
        "3 alarms",
        "alarms",
        edit(
            "edge.ways:Way._alarms_leave",
            (
                "self.dues.said(seq, now_s, self.trip_s, self.link.state().slot_s)",
                "[way.dues.due_s.update({seq: inf}) for way in self.shared.ways.values()]",
            ),
        ),
    ),
    Mutant(
        "the end of an alarm is not sent",
        "3 alarms",
        "alarms",
        edit(
            "edge.daemon:Daemon._commit_raised", ("for alarm in raised]", "for alarm in raised if alarm.level.value]")
        ),
    ),
    Mutant(
        "a level that rises is not told",
        "3 alarms",
        "alarms",
        edit(LIMITS + "_report", ("change = Change.CHANGED", "return")),
    ),
    Mutant(
        "no hysteresis",
        "3 alarms",
        "alarms",
        edit(LIMITS + "_judge_value", ("beyond < -limit.hysteresis", "beyond < 0")),
    ),
    Mutant(
        "no hold",
        "3 alarms",
        "alarms",
        edit(LIMITS + "_judge_value", ("else limit.hold_s", "else 0.0")),
    ),
    Mutant(
        "a hold goes on through values that are fine",
        "3 alarms",
        "alarms",
        edit(LIMITS + "_time", ("latch.since_s = None\n        return", "return")),
    ),
    Mutant(
        "exactly at the threshold is not beyond it",
        "3 alarms",
        "alarms",
        edit(LIMITS + "_judge_value", ("beyond >= 0", "beyond > 0")),
    ),
    Mutant(
        "silence is never told",
        "3 alarms",
        "alarms",
        edit(LIMITS + "tick", ("latch.set or silence_s >= latch.threshold", "latch.set")),
    ),
    Mutant(
        "where limits stood is forgotten at a restart",
        "3 alarms",
        "alarms",
        edit(
            "edge.daemon:Daemon._restore",
            (
                "self.limits.restore({standing.id: (standing.level, standing.value) for standing in standings})",
                "pass",
            ),
        ),
    ),
    # -- values ----------------------------------------------------------------------------------------------------
    Mutant(
        "late replies are taken for the next answer",
        "5 honest values",
        "wires",
        both(
            edit("drivers.modbus.bus:Bus._owe", ("if self._is_rtu:", "if False:")),
            edit("drivers.modbus.bus:Bus._settle", ("if not self._is_rtu:", "if True:")),
        ),
    ),
    Mutant(
        "each Modbus TCP transaction has the same number",
        "5 honest values",
        "wires",
        edit(
            "drivers.modbus.bus:Bus._next_transaction",
            ("self._transaction = self._transaction % 0xFFFF + 1", "self._transaction = 1"),
        ),
    ),
    Mutant(
        "the CRC is not checked",
        "5 honest values",
        "wires",
        edit("drivers.modbus.wire:Exchange._judge", ("not crc_ok(frame) or self._may_be_echo", "self._may_be_echo")),
    ),
    Mutant(
        "an NMEA checksum is not checked",
        "5 honest values",
        "wires",
        edit("drivers.serial_line.wire:read_nmea", ("told != checksum(body)", "told < 0")),
    ),
    Mutant(
        "what failed is recorded as 0",
        "5 honest values",
        "wires",
        edit("edge.intake:PointNow.take", ("steps: int | None = None", "steps: int | None = 0")),
    ),
    Mutant(
        "what failed repeats the value before",
        "5 honest values",
        "wires",
        edit("edge.intake:PointNow.take", ("steps: int | None = None", "steps: int | None = self.value")),
    ),
    Mutant(
        "values are cut, not rounded",
        "5 honest values",
        "wires",
        edit("edge.intake:PointNow.take", ("round(value * self.per_step)", "int(value * self.per_step)")),
    ),
    Mutant(
        "after a failed read the factor is lost",
        "5 honest values",
        "wires",
        edit(
            "drivers.modbus.sensor:ModbusSensor.read",
            (
                "failed.append(reply)",
                "failed.append(reply)\n"
                "            for decoder in self._decoders.values():\n"
                "                decoder._scaled = lambda raw: raw",
            ),
        ),
    ),
    Mutant(
        "one reading in 500 is dropped",
        "1 kept",
        "wires",
        edit(
            "edge.intake:Intake._take",
            (
                "now.take(value, quality, at_ms)",
                "self._dropped = getattr(self, '_dropped', 0) + 1\n"
                "        now.take(value if self._dropped % 500 else None, quality, at_ms)",
            ),
        ),
    ),
    Mutant(
        "a lost port is not opened again",
        "1 kept",
        "wires",
        edit("edge.intake:Intake._port_lost", ("port.pause_s * 2 or FIRST_PAUSE_S)", "1e9) + 1e9")),
    ),
    Mutant(
        "a silent device is left alone for ever",
        "1 kept",
        "wires",
        edit("edge.intake:Intake._device_silent", ("min(LONGEST_PAUSE_S, max(", "max(1e9, max(")),
    ),
    # -- time ------------------------------------------------------------------------------------------------------
    Mutant(
        "a wrong clock is trusted at once",
        "6 honest time",
        "clock",
        both(
            edit(CLOCK + "update", ("if wall < self._floor_ms:", "if False:")),
            edit(CLOCK + "set_floor", ("self._now_ms() < self._floor_ms", "False")),
        ),
    ),
    Mutant(
        "the kernel is not asked whether its clock is right",
        "6 honest time",
        "clock",
        edit(CLOCK + "update", ("if wall >= BUILT_MS and self._synchronised():", "if wall >= BUILT_MS:")),
    ),
    Mutant(
        "what has no time never gets one",
        "2 custody",
        "clock",
        edit("edge.daemon:Daemon._date", ("self._dating is None or self._dating.done()", "False")),
    ),
    Mutant(
        "what has no time gets one an hour off",
        "6 honest time",
        "clock",
        edit("edge.outbox_write:OutboxWriter._date", ("[(offset_ms, quality,", "[(offset_ms + 3_600_000, quality,")),
    ),
    Mutant(
        "a round has the time of its commit",
        "1 kept",
        "roads",
        edit(
            "edge.intake:Intake._close",
            ("self._keep(Round(group.index, group.at_ms,", "self._keep(Round(group.index, self._clock.now().at_ms,"),
        ),
    ),
    Mutant(
        "instants are no grid",
        "1 kept",
        "roads",
        edit(
            "edge.intake:Intake._instants",
            ("following = {every: (now_ms // every + 1) * every for", "following = {every: now_ms + every for"),
        ),
    ),
    # -- room ------------------------------------------------------------------------------------------------------
    Mutant(
        "folding takes the mean for the greatest",
        "5 honest values",
        "full",
        edit(
            "edge.wire.summary:summarise",
            (
                "max(column, default=None) for column in columns",
                "_mean(sum(column), len(column)) for column in columns",
            ),
        ),
    ),
    Mutant(
        "folding loses a window",
        "1 kept",
        "full",
        edit(
            "edge.fold:Folder._fold",
            ("windows = self._windows(outbox, run)", "windows = self._windows(outbox, run)[-1:]"),
        ),
    ),
    Mutant(
        "no quota",
        "8 bounded",
        "full",
        edit("edge.outbox_room:OutboxRoom.__init__", ("self.quota_bytes = quota_bytes", "self.quota_bytes = 10**12")),
    ),
    Mutant(
        "alarms go first when the store is full",
        "3 alarms",
        "evicting",
        const(
            "edge.outbox_room:VICTIMS",
            ("kind <> 0 AND kind <> 5 AND kind = 1 ORDER BY seq", "kind = 0 ORDER BY seq"),
        ),
    ),
    # -- links -----------------------------------------------------------------------------------------------------
    Mutant(
        "a link that is back is tried after ten minutes",
        "10 links",
        "roads",
        const("edge.relay:LONGEST_RETRY_S", 600.0),
    ),
    Mutant(
        "a dead link is tried without a pause",
        "10 links",
        "roads",
        both(const("edge.relay:LONGEST_RETRY_S", 0.1), const("edge.relay:FIRST_RETRY_S", 0.1)),
    ),
    Mutant(
        "the card's period is not kept",
        "8 bounded",
        "sky",
        edit("drivers.beidou.slots:SlotClock.next_s", ("self._burst_s + self.period_s + MARGIN_S", "self._burst_s")),
    ),
    Mutant(
        "the card's slot is forgotten at a restart",
        "8 bounded",
        "sky",
        both(
            edit("drivers.beidou.slots:SlotClock.restored", ("max(self._said_s, min(", "min(self._said_s, min(")),
            edit("drivers.beidou.slots:SlotClock.unknown", ("max(self._burst_s, now_s + FEEDBACK_S)", "self._burst_s")),
        ),
    ),
)
