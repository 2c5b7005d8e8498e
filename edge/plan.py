"""What next on this link? A pure function of how the link stands, what waits, and the time. No I/O, no state.

Order: the sheet (nothing can be read without it), alarms, small things (status, account), where we are now (once, when
the link has come up), rounds as they come in, packed together each `batch_s`, and between them the backlog, oldest
first.
Bulk never takes the last place in a link's window: an alarm always finds it free.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf


class What(Enum):
    SHEET = "sheet"
    ALARMS = "alarms"
    SMALL = "small"
    NEWEST = "newest"
    LIVE = "live"
    BACKLOG = "backlog"


@dataclass(frozen=True, slots=True)
class LinkNow:
    """How a link stands. Times are monotonic seconds."""

    usable: bool
    window: int
    on_way: int  # packets handed over whose outcome is not known yet
    not_before_s: float = 0.0  # it refused a packet: leave it alone until then
    batch_s: float = 10.0
    greeted: bool = True  # "where we are now" has been said since it came up
    last_live_s: float = -inf


@dataclass(frozen=True, slots=True)
class Queue:
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
    if now_s < link.not_before_s:
        return Wait(link.not_before_s)
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
