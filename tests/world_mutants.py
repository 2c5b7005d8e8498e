"""Deliberate faults in the daemon, each a mistake a programmer could make, to prove that the world sees them.

Each is a small change of the daemon's source text (world_changes.py), and names a story of world_stories.py that shows
it, and the promise that the judges then find broken. Where one raises `Gone`, the code it changes has become another:
look what has become of it, and make the same mistake there.
"""

from __future__ import annotations

from tests.world_changes import Mutant, both, edit
from tests.world_mutants_doubt import DOUBT
from tests.world_mutants_more import MORE
from tests.world_mutants_rules import RULES

LIMITS = "edge.limits:Limits."
LATCH = "edge.limit_nouns:Latch."

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
        "one",
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
        "day",
    ),
    Mutant(
        "what is folded is not counted",
        "2 custody",
        "full",
        edit("edge.outbox:Outbox.fold", ("books.fold(pieces)", "pass")),
        "small",
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
        "4 once",
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
        "one",
    ),
    Mutant(
        "a stop does not wait for the commit",
        "1 kept",
        "cuts",
        edit(
            "edge.daemon:Daemon._run",
            ("await self._commit_last()", "pass"),
            ("await self.keeper.stop()", "pass"),
        ),
        "lazy",
    ),
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
        "lazy",
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
        edit(LIMITS + "_tell", ("change = Change.CHANGED", "return")),
    ),
    Mutant(
        "no hysteresis",
        "3 alarms",
        "alarms",
        both(
            edit(LATCH + "flips", ("self.stay_low <= number <= self.stay_high", "self.low <= number <= self.high")),
            edit(
                "edge.limit_nouns:calm",
                ("max(low, latch.stay_low), min(high, latch.stay_high)", "max(low, latch.low), min(high, latch.high)"),
            ),
        ),
    ),
    Mutant(
        "no hold",
        "3 alarms",
        "alarms",
        edit(LATCH + "time", ("since_s >= hold_s", "since_s >= (hold_s if self.set else 0.0)")),
    ),
    Mutant(
        "a hold goes on through values that are fine",
        "3 alarms",
        "alarms",
        edit(LATCH + "time", ("self.since_s = None\n        return", "return")),
    ),
    Mutant(
        "exactly at the threshold is not beyond it",
        "3 alarms",
        "alarms",
        edit(LATCH + "flips", ("self.low <= number <= self.high", "self.low < number < self.high")),
    ),
    Mutant(
        "silence is never told",
        "3 alarms",
        "alarms",
        edit(LIMITS + "_wait", ("latch.set or waited_s >= latch.threshold", "latch.set")),
    ),
    Mutant(
        "where limits stood is forgotten at a restart",
        "3 alarms",
        "alarms",
        edit(
            "edge.limit_memory:stood",
            ("(Level.NONE, None)) | known", "(Level.NONE, None))"),
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
        "",
        "an answer is late by 3 s at most there, and no device is asked again so soon",
    ),
    Mutant(
        "each Modbus TCP transaction has the same number",
        "5 honest values",
        "wires",
        edit(
            "drivers.modbus.bus:Bus._next_transaction",
            ("self._transaction = self._transaction % 0xFFFF + 1", "self._transaction = 1"),
        ),
        "",
        "an answer is late by 3 s at most there, and no device is asked again so soon",
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
    *MORE,
    *DOUBT,
    *RULES,
)
