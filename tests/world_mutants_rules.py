"""More of the list in world_mutants.py: what limits remember over a restart, and the siren."""

from __future__ import annotations

from tests.world_changes import Mutant, edit

SWITCHER = "edge.switching:Switcher."

RULES: tuple[Mutant, ...] = (
    Mutant(
        "what limits were told is not noted in the store",
        "3 alarms",
        "rules",
        edit("edge.limit_tail:Tail.note", ("self._open[-1][1] += place, value", "pass")),
    ),
    Mutant(
        "a restart takes no time",
        "3 alarms",
        "rules",
        edit(
            "edge.limit_past:passed_s",
            ("return now.monotonic_s - saved.monotonic_s", "return 0.0"),
        ),
    ),
    Mutant(
        "a hold time begins anew at a restart",
        "3 alarms",
        "rules",
        edit(
            "edge.limit_state:_restore_part",
            (
                "latch.since_s = None if since is None else now_s - (gap_s or 0.0) - float(since)",
                "latch.since_s = None",
            ),
        ),
    ),
    Mutant(
        "a hold is a round longer where a reading comes early by milliseconds",
        "3 alarms",
        "rules",
        edit("edge.limit_judged:Judged.__post_init__", ("self.limit.hold_s - self.limit.early_s", "self.limit.hold_s")),
    ),
    Mutant(
        "what is beyond the range goes into sums",
        "3 alarms",
        "rules",
        edit("edge.limits:Limits.judge", ("if quality is Quality.GOOD else watched.beyond", "")),
        ground="day",
    ),
    Mutant(
        "a siren is ordered once",
        "3 alarms",
        "rules",
        edit(
            SWITCHER + "_follow",
            ("got = await self._order(", "got = Switched(wanted.on, '') if not is_news else await self._order("),
        ),
        ground="day",
    ),
    Mutant(
        "a siren is left on at the end",
        "3 alarms",
        "rules",
        edit(SWITCHER + "end", ("while self.on is not False:", "while False:")),
        ground="day",
    ),
    Mutant(
        "a siren sounds on when its alarm is over",
        "3 alarms",
        "rules",
        edit("edge.actions:Actions._weigh", ("demands.pop(key, None)", "pass")),
        ground="day",
    ),
    Mutant(
        "a siren sounds on after its time",
        "3 alarms",
        "rules",
        edit("edge.actions:Actions._weigh", ("since_s + most_s", "since_s + 2 * most_s")),
        ground="day",
    ),
    Mutant(
        "a siren is forgotten at a restart",
        "3 alarms",
        "rules",
        edit("edge.actions:Actions.restore", ("standing.items()", "()")),
        ground="day",
    ),
    Mutant(
        "a roll-up counts nothing up",
        "3 alarms",
        "rules",
        edit("edge.limit_members:_rolled", ("worst = max(levels, default=Level.NONE)", "worst = Level.NONE")),
    ),
)
