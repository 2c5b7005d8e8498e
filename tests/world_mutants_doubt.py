"""More of the list in world_mutants.py: faults that come after a doubt, and what judges once forgave.

A clock that was wrong, a site that has no wide road, a start that never ends: here a judge needs an excuse for the
honest daemon, and each of these faults lives in such an excuse if it is wider than it must be.
"""

from __future__ import annotations

from tests.world_changes import Mutant, both, const, edit

CLOCK = "edge.clock:Clock."
NEVER_AGAIN = "self._quality if self._quality is ClockQuality.FREE else ClockQuality.TRUSTED"

DOUBT: tuple[Mutant, ...] = (
    Mutant(
        "after the clock was set two of three rounds are left out",
        "1 kept",
        "clock",
        both(
            edit(
                "edge.intake:Intake._instants",
                (
                    "at_ms = (now_ms + 500) // 1000 * 1000",
                    "at_ms = (now_ms + 500) // 1000 * 1000; self._apart = 3",
                ),
            ),
            edit(
                "edge.intake:Intake._following",
                ("(now_ms // pace + 1) * pace for", "(now_ms // pace + getattr(self, '_apart', 1)) * pace for"),
            ),
        ),
    ),
    Mutant(
        "a clock that was in doubt is never trusted again",
        "6 honest time",
        "doubt",
        both(
            edit(
                CLOCK + "update",
                (
                    "self._set(wall - mono, ClockQuality.TRUSTED,",
                    f"self._set(wall - mono, {NEVER_AGAIN},",
                ),
            ),
            edit(
                CLOCK + "learn",
                (
                    "self.monotonic_s() * 1000, ClockQuality.TRUSTED,",
                    f"self.monotonic_s() * 1000, {NEVER_AGAIN},",
                ),
            ),
        ),
    ),
    Mutant(
        "a clock that nobody confirms is read an hour wrong",
        "6 honest time",
        "doubt",
        edit(CLOCK + "update", ("wall - mono, ClockQuality.FREE", "wall - mono + 3_600_000, ClockQuality.FREE")),
    ),
    Mutant(
        "after a doubt what is held is told as settled",
        "2 custody",
        "doubt",
        both(
            edit(
                CLOCK + "_set",
                (
                    "learnt = self._offset_ms is None",
                    "learnt = self._offset_ms is None\n"
                    "    self.doubted = getattr(self, 'doubted', False) or quality is ClockQuality.FREE",
                ),
            ),
            edit(
                "edge.answers:Answers.account",
                (
                    '"settled": account.settled_entries',
                    '"settled": account.settled_entries + account.held_entries * getattr(self.clock, "doubted", 0)',
                ),
                (
                    '"held": account.held_entries',
                    '"held": 0 if getattr(self.clock, "doubted", 0) else account.held_entries',
                ),
            ),
        ),
    ),
    Mutant(
        "with Beidou only each third round is left out",
        "1 kept",
        "narrow",
        edit(
            "edge.intake:Intake._close",
            ("self._keep(Round(", "group.at_ms // group.every_ms % 3 and self._keep(Round("),
        ),
        "sky",
    ),
    Mutant(
        "in a card's slots alarms wait behind rounds",
        "3 alarms",
        "crowd",
        edit("edge.plan:next_in_slot", ("if queue.alarms and not queue.alarms_rest:", "if False:")),
        "crowd",
    ),
    Mutant(
        "a start waits for ever before it can be told to stop",
        "7 starts",
        "sky",
        edit("edge.daemon:Daemon._run", ("await self.keeper.start()", "await asyncio.Event().wait()")),
    ),
    Mutant(
        "no account is ever sent",
        "2 custody",
        "alarms",
        edit("edge.reporter:report", ("tell(account, Kind.ACCOUNT)", "pass")),
    ),
    Mutant(
        "no status is ever sent",
        "2 custody",
        "alarms",
        edit("edge.reporter:report", ("tell(answers.short_status(), Kind.STATUS)", "pass")),
    ),
    Mutant(
        "rounds are folded long before the store is full",
        "1 kept",
        "roads",
        both(const("edge.fold:FOLD_AT", 0.0001), const("edge.housing:FOLD_AT", 0.0001)),
    ),
    Mutant(
        "it does not end when it is told to",
        "7 starts",
        "sky",
        edit("edge.daemon:_cancel", ("task.cancel()", "pass")),
    ),
    Mutant(
        "a part of it turns for ever",
        "7 starts",
        "sky",
        edit(
            "edge.daemon:Daemon._tick", ("while True:", "while True:\n        await asyncio.sleep(0)\n        continue")
        ),
    ),
)
