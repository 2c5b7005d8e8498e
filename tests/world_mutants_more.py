"""More of the list in world_mutants.py: faults with time, with room, with links."""

from __future__ import annotations

from tests.world_changes import Mutant, both, const, edit

CLOCK = "edge.clock:Clock."

MORE: tuple[Mutant, ...] = (
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
            "edge.intake:Intake._following",
            ("(now_ms // pace + 1) * pace for", "now_ms + pace for"),
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
        "small",
    ),
    Mutant(
        "folding loses a window",
        "1 kept",
        "full",
        edit(
            "edge.fold:Folder._fold",
            ("windows = self._windows(outbox, run)", "windows = self._windows(outbox, run)[-1:]"),
        ),
        "small",
    ),
    Mutant(
        "no quota",
        "8 bounded",
        "full",
        edit("edge.outbox_room:OutboxRoom.__init__", ("self.quota_bytes = quota_bytes", "self.quota_bytes = 10**12")),
        "small",
    ),
    Mutant(
        "alarms go first when the store is full",
        "3 alarms",
        "evicting",
        const(
            "edge.outbox_room:VICTIMS",
            ("kind <> 0 AND kind <> 5 AND kind = 1 ORDER BY seq", "kind = 0 ORDER BY seq"),
        ),
        "small",
    ),
    # -- links -----------------------------------------------------------------------------------------------------
    Mutant(
        "a link that is back is tried after ten minutes",
        "10 links",
        "roads",
        const("edge.ladder:LONGEST_RETRY_S", 600.0),
    ),
    Mutant(
        "a dead link is tried without a pause",
        "10 links",
        "roads",
        both(const("edge.ladder:LONGEST_RETRY_S", 0.1), const("edge.ladder:FIRST_RETRY_S", 0.1)),
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
    # -- what is demanded of each alarm and value --------------------------------------------------------------------
    Mutant(
        "an alarm is committed eight seconds late",
        "3 alarms",
        "alarms",
        edit(
            "edge.daemon:Daemon._commit_alarms",
            ("self._alarm_waits.clear()", "self._alarm_waits.clear(); await asyncio.sleep(8)"),
        ),
    ),
    Mutant(
        "a second link is not used while the first is up",
        "3 alarms",
        "alarms",
        edit(
            "edge.ways:Way.next",
            (
                "transit = self.shared.transit",
                "transit = self.shared.transit\n    first = list(self.shared.ways.values())[0]\n"
                "    if self is not first and first.usable: return Wait(now_s + 1)",
            ),
        ),
    ),
    Mutant(
        "good values are called suspect",
        "5 honest values",
        "roads",
        edit(
            "edge.intake:Intake._fill",
            (
                "group.qualities[place] = quality",
                "group.qualities[place] = Quality.SUSPECT if value is not None else quality",
            ),
        ),
    ),
)
