"""What next on this link? A pure function of how the link stands, what waits, and the time. No I/O, no state.

Order: the sheet (nothing can be read without it), alarms, small things (status, account), where we are now (once, when
the link has come up), rounds as they come in, packed together each `batch_s`, and between them the backlog, oldest
first.
Bulk never takes the last place in a link's window: an alarm always finds it free.

A link with slots (`next_in_slot`) takes one packet in so many seconds, chosen when the slot has come: alarms (by turns
with pieces of one that is too large for a packet, unless it is less grave, as `edge.slotpack` sees), then, as long as
no wide link carries the rest: a technician's test, what was begun in pieces, the sheet, rounds (the newest first), and
where slots can not carry all of them, "where we are now" and summaries by turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import NamedTuple


class What(Enum):
    SHEET = "sheet"
    ALARMS = "alarms"
    SMALL = "small"
    TEST = "test"
    PIECE = "piece"
    SUMMARY = "summary"
    PROBE = "probe"
    NEWEST = "newest"
    LIVE = "live"
    BACKLOG = "backlog"


class LinkNow(NamedTuple):
    """How a link stands. Times are monotonic seconds."""

    usable: bool
    window: int
    on_way: int  # packets handed over whose outcome is not known yet
    not_before_s: float = 0.0  # it refused a packet: leave it alone until then
    batch_s: float = 10.0
    greeted: bool = True  # "where we are now" has been said since it came up
    last_live_s: float = -inf
    ready_s: float = 0.0  # it takes nothing before


class Queue(NamedTuple):
    """What waits, as far as this link is concerned (nothing that is on the way and not overdue)."""

    sheet: bool = False
    alarms: bool = False
    alarm_due_s: float = inf  # when the next repetition of an alarm is due here
    small: bool = False
    newest: bool = False
    live_readings: int = 0
    backlog: bool = False
    room: bool = True  # fewer packets wait for their receipt than may
    most_readings: int = 1000  # that go into one packet
    test: bool = False  # a technician waits for it


@dataclass(frozen=True, slots=True)
class Send:
    what: What


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until the instant `until_s`, or until something changes."""

    until_s: float


def next_step(link: LinkNow, queue: Queue, now_s: float) -> Send | Wait:
    """The next thing to do on an idle place of this link."""
    if not link.usable or link.on_way >= link.window:
        return Wait(inf)
    if now_s < max(link.not_before_s, link.ready_s):
        return Wait(max(link.not_before_s, link.ready_s))
    if queue.test:
        return Send(What.TEST)
    if queue.sheet:
        return Send(What.SHEET)
    if queue.alarms:
        return Send(What.ALARMS)
    if queue.small:
        return Send(What.SMALL)
    return _bulk(link, queue, now_s)


def _bulk(link: LinkNow, queue: Queue, now_s: float) -> Send | Wait:
    if not queue.room or (link.window > 1 and link.on_way >= link.window - 1):
        return Wait(queue.alarm_due_s)
    if not link.greeted and queue.newest:
        return Send(What.NEWEST)
    live_due_s = link.last_live_s + link.batch_s if queue.live_readings else inf
    if queue.live_readings >= queue.most_readings or now_s >= live_due_s:
        return Send(What.LIVE)
    if queue.backlog:
        return Send(What.BACKLOG)
    return Wait(min(queue.alarm_due_s, live_due_s))


class SlotQueue(NamedTuple):
    """What waits, as far as a link with slots is concerned."""

    alarms: bool = False
    alarm_due_s: float = inf
    alarm_piece_due_s: float = inf  # when the next piece of an alarm that was begun is due
    alarms_rest: bool = False  # all that are due were said several times, once just now: the others come between
    test: bool = False
    wide: bool = False  # a wide link is up and carries all but alarms
    sheet: bool = False
    piece_due_s: float = inf  # when the next piece of what was begun is due
    rounds: bool = False
    summaries: bool = False
    newest_due_s: float = inf  # when "where we are now" is due: only while not every round can go
    summary_turn: bool = False  # rounds went last: summaries are next, if there are any


def next_in_slot(link: LinkNow, queue: SlotQueue, now_s: float) -> Send | Wait:
    """The next thing to do in a slot of this link."""
    if not link.usable or link.on_way >= link.window:
        return Wait(inf)
    ready_s = max(link.not_before_s, link.ready_s)
    if now_s < ready_s:
        return Wait(ready_s)
    if queue.alarm_piece_due_s <= now_s and (queue.alarms_rest or not queue.alarms):
        return Send(What.PIECE)
    if queue.alarms and not queue.alarms_rest:
        return Send(What.ALARMS)
    if queue.test:
        return Send(What.TEST)
    step = Wait(min(queue.alarm_due_s, queue.alarm_piece_due_s)) if queue.wide else _slot_rest(queue, now_s)
    return Send(What.ALARMS) if queue.alarms and isinstance(step, Wait) else step


def _slot_rest(queue: SlotQueue, now_s: float) -> Send | Wait:
    if queue.piece_due_s <= now_s:
        return Send(What.PIECE)
    if queue.sheet:
        return Send(What.SHEET)
    if queue.newest_due_s <= now_s:
        return Send(What.NEWEST)
    if queue.summaries and (queue.summary_turn or not queue.rounds):
        return Send(What.SUMMARY)
    if queue.rounds:
        return Send(What.LIVE)
    return Wait(min(queue.alarm_due_s, queue.piece_due_s, queue.newest_due_s))
