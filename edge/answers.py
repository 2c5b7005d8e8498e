"""What a technician may ask of the running daemon, in JSON types; and the journal of what has happened.

Reads the parts, changes none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from edge.account import ROWS_MOST, by_point, in_short
from edge.alarm_past import body_of, shown_of
from edge.clock import BUILT_MS, Clock
from edge.config.site import Site
from edge.contract import Alarm, Point, Quality
from edge.control import TEST_WAIT_LEAST_S, TEST_WAIT_MOST_S, Handler
from edge.entries import PAST_KEPT, Standing
from edge.errors import DeviceSilent, FengsuiError, PortLost
from edge.intake import Intake
from edge.intake_nouns import PointNow
from edge.keeper import Keeper
from edge.ledger import DAY_MS, LEDGER_DAYS
from edge.limit_words import explain
from edge.limits import Limits
from edge.outbox import Outbox
from edge.relay import Relay

EVENTS_KEPT = 200
EVENTS_SHOWN = 20
WATCHERS_MOST = 12  # of the socket's 16 clients: who asks something else is not locked out by screens
WATCH_QUEUE = 200  # a watcher that reads slower than this loses lines, the daemon loses nothing


class Journal:
    """The last events, the last alarms, and who is watching."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self.alarms: deque[dict[str, Any]] = deque(maxlen=PAST_KEPT)
        self.watchers: list[asyncio.Queue[dict[str, Any]]] = []

    def say(self, about: str, text: str) -> None:
        """One line for the log and for `status`, whatever an instrument or a person put into it. Callers say each loss
        and each return once."""
        text = text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
        event = {"at_ms": self._clock.now().at_ms, "about": about, "text": text}
        self.events.append(event)
        self.tell({"event": event})
        self.log(f"{about}: {text}")

    @staticmethod
    def log(line: str) -> None:
        """To stderr, for the system's log; never waits and never fails: a full disk or a stuck log is no reason."""
        with contextlib.suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), f"{line}\n".encode())

    def say_once(self, about: str, text: str) -> None:
        """For what is found again and again: only if it is not among the last events."""
        if not any(event["about"] == about and event["text"] == text for event in self.events):
            self.say(about, text)

    def alarm(self, alarm: Alarm, points: Mapping[str, Point]) -> bytes:
        """Tells an alarm; how it was told, for the store."""
        shown = shown_of(alarm, points, self._clock.boot)
        self.alarms.append(shown)
        self.tell({"alarm": {key: value for key, value in shown.items() if key != "why"}})
        self.say(f"limit {alarm.limit}", shown["text"])
        return body_of(shown)

    def recall(self, before: Sequence[dict[str, Any]]) -> None:
        """Alarms of before this run."""
        self.alarms = deque([*before, *self.alarms], PAST_KEPT)

    def tell(self, item: dict[str, Any]) -> None:
        """To all who watch."""
        for queue in self.watchers:
            if not queue.full():
                queue.put_nowait(item)


class Answers:
    """The handlers of the control socket."""

    def __init__(
        self,
        site: Site,
        clock: Clock,
        intake: Intake,
        limits: Limits,
        keeper: Keeper,
        relay: Callable[[], Relay | None],
        journal: Journal,
        version: str,
        more: Mapping[str, Callable[[], Any]],
    ) -> None:
        """`more`: further blocks of the status, by name."""
        self.site = site
        self.clock = clock
        self.intake = intake
        self.limits = limits
        self.keeper = keeper
        self.relay = relay
        self.journal = journal
        self.version = version
        self.more = more
        self.since: dict[str, Standing] = {}  # limit -> how it took its present level
        self._started_s = clock.monotonic_s()
        self._points = {point.id: point for point in site.points}

    def handlers(self) -> dict[str, Handler]:
        return {
            "status": self._ask_status,
            "points": self._ask_points,
            "alarms": self._ask_alarms,
            "rules": self._ask_rules,
            "links": self._ask_links,
            "outbox": self._ask_outbox,
            "account": self._ask_account,
            "read": self._ask_read,
            "watch": self._ask_watch,
            "send-test": self._ask_send_test,
        }

    async def _ask_status(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        now = self.clock.now()
        bad = [p.point.id for p in self.intake.points.values() if p.quality is not Quality.GOOD]
        return {
            "gateway": self.site.gateway.id,
            "name": self.site.gateway.name,
            "version": self.version,
            "site_file": {"path": str(self.site.file), "wrong": self.site.stands_in, "useless": self.site.useless},
            "up_s": round(self.clock.monotonic_s() - self._started_s),
            "clock": {"at_ms": now.at_ms, "quality": now.quality.name.lower(), "source": self.clock.source},
            "points": {"all": len(self._points), "without_good_value": bad},
            "ports": {p.id: p.lost or "open" for p in self.intake.ports.values()},
            "devices": {d.id: d.silent or d.port.lost or "answers" for d in self.intake.devices.values()},
            "levels": {limit: level.name.lower() for limit, level in self.limits.levels().items() if level},
            "links": self._links(),
            "store": await self._store(),
            **{name: show() for name, show in self.more.items()},
            "readings": sum(p.good + p.failed for p in self.intake.points.values()),
            "events": list(self.journal.events)[-EVENTS_SHOWN:],
        }

    async def _store(self) -> dict[str, Any]:
        outbox = self.keeper.outbox
        used_bytes, oldest_ms = await self.keeper.call(lambda box: (box.used_bytes(), box.oldest_ms()))
        return {
            "path": outbox.path,
            "broken": self.keeper.broken,
            "epoch": outbox.epoch,
            "used_bytes": used_bytes,
            "quota_bytes": outbox.quota_bytes,
            "room": asdict(self.keeper.filling.room(used_bytes, outbox.quota_bytes, len(self._points))),
            "oldest_ms": oldest_ms,
            "commits": outbox.commits,
            "last_commit_ms": round(outbox.last_commit_s * 1000, 1),
            "dropped": self.keeper.dropped,
            "account": await self.account(),
        }

    async def account(self, count_rows: bool = False) -> dict[str, Any]:
        """In readings, and in entries; `count_rows` counts what is held."""
        account = await self.keeper.call(Outbox.account, count_rows)
        return {
            "taken": account.taken_readings,
            "settled": account.settled_readings,
            "held": account.held_readings,
            "folded": account.folded_readings,
            "evicted": account.evicted_readings,
            "evicted_by": {why: list(counts) for why, counts in account.evicted_by.items()},
            "entries": {
                "taken": account.taken_entries,
                "settled": account.settled_entries,
                "held": account.held_entries,
                "folded": account.folded_entries,
                "evicted": account.evicted_entries,
                "adopted": account.adopted_entries,
            },
            "balanced": account.balanced,
        }

    async def daily(self) -> dict[str, Any]:
        """Yesterday and today, for the province."""
        now_ms = self.clock.now().at_ms
        return in_short(await self.keeper.call(Outbox.ledger, max(0, now_ms // DAY_MS - 1)), now_ms)

    async def _ask_account(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        days = request.get("days", 2)
        most = min(LEDGER_DAYS, max(1, ROWS_MOST // max(1, len(self._points))))
        if not isinstance(days, int) or not 1 <= days <= most:
            raise FengsuiError(f"days must be a whole number from 1 to {most}")
        return await self.keeper.call(by_point, days, self.clock.now().at_ms)

    async def _ask_points(self, _request: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [_show_point(now) for now in self.intake.points.values()]

    async def _ask_alarms(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        levels = self.limits.levels()
        return {
            "limits": [
                {
                    "id": limit.id,
                    "name": limit.name,
                    "point": limit.point,
                    "level": levels[limit.id].name.lower(),
                    "since_ms": since_ms(self.since.get(limit.id), self.clock),
                    "rule": explain(limit.judged, limit.scale),
                    "rule_zh": explain(limit.judged, limit.scale, chinese=True),
                }
                for limit in self.site.limits
            ],
            "shelf": self.more["shelf"]() if "shelf" in self.more else {},
            "recent": list(self.journal.alarms),
        }

    async def _ask_rules(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        from edge.rules_now import rule_now  # only for who asks: the daemon is to stay small

        wanted = request.get("limit")
        if wanted is not None and wanted not in self.limits.judged:
            raise FengsuiError(f"there is no limit {wanted}; limits: {', '.join(self.limits.judged)}")
        now_s = asyncio.get_running_loop().time()
        last = {alarm["limit"]: alarm for alarm in self.journal.alarms if not alarm["drill"]}  # which nothing decided
        return [
            {
                **rule_now(limit, self.limits, self.intake.points, now_s),
                "since_ms": since_ms(self.since.get(limit.id), self.clock),
                "last_alarm": last.get(limit.id),
            }
            for limit in self.site.limits
            if wanted in (None, limit.id)
        ]

    def _links(self) -> dict[str, Any]:
        relay = self.relay()
        return relay.health() if relay else {}

    async def _ask_links(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return self._links()

    async def _ask_outbox(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {**await self._store(), "account": await self.account(count_rows=True)}

    async def _ask_read(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        wanted = str(request.get("what"))
        device = self._points[wanted].device if wanted in self._points else wanted
        if device not in self.intake.devices:
            raise FengsuiError(f"{wanted} is neither a point nor a device; devices: {', '.join(self.intake.devices)}")
        try:
            points = await self.intake.ask(device)
        except (DeviceSilent, PortLost) as error:
            raise FengsuiError(str(error)) from error
        return [_show_point(now) for now in points if wanted in (device, now.point.id)]

    async def _ask_watch(self, _request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        if len(self.journal.watchers) >= WATCHERS_MOST:
            raise FengsuiError(f"{WATCHERS_MOST} are watching already")
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(WATCH_QUEUE)
        self.journal.watchers.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.journal.watchers.remove(queue)

    async def _ask_send_test(self, request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        wanted, wait_s = str(request.get("link")), request.get("wait_s", TEST_WAIT_MOST_S)
        names = [link.id for link in self.site.links]
        if wanted not in names:
            raise FengsuiError(f"there is no link {wanted}; links: {', '.join(names)}")
        if not isinstance(wait_s, int | float) or not TEST_WAIT_LEAST_S <= wait_s <= TEST_WAIT_MOST_S:
            raise FengsuiError(f"wait_s must be a number from {TEST_WAIT_LEAST_S:g} to {TEST_WAIT_MOST_S:g}")
        relay = self.relay()
        if relay is None:
            raise FengsuiError("nothing is sent yet: the gateway waits for its key (fengsui status)")
        async with contextlib.aclosing(relay.send_test(wanted, wait_s)) as steps:
            async for step in steps:
                yield step

    def short_status(self) -> dict[str, Any]:
        """What the province is told now and then."""
        return {
            "version": self.version,
            "up_s": round(self.clock.monotonic_s() - self._started_s),
            "clock": self.clock.source,
            "silent": [d.id for d in self.intake.devices.values() if d.silent or d.port.lost][:20],
            "store": self.keeper.broken or "ok",
            **({"site_file": "copy"} if self.site.stands_in else {}),  # all along; why is among the events of the start
            "events": [f"{event['about']}: {event['text']}" for event in list(self.journal.events)[-3:]],
        }


def since_ms(standing: Standing | None, clock: Clock) -> int | None:
    """When a limit took its level: within this boot by the monotonic clock, for the wall clock may have been unknown
    then, or set since. None where nobody knows: of another boot, which never learnt the time."""
    if standing is None:
        return None
    if standing.boot and standing.boot == clock.boot:
        return clock.at_ms(standing.monotonic_s)
    return standing.at_ms if standing.at_ms >= BUILT_MS else None


def _show_point(now: PointNow) -> dict[str, Any]:
    return {
        "id": now.point.id,
        "name": now.point.name,
        "device": now.point.device,
        "value": now.point.show(now.value),
        "unit": now.point.unit,
        "quality": "not read yet" if now.at_ms is None else now.quality.name.lower().replace("_", " "),
        "at_ms": now.at_ms,
        "good": now.good,
        "failed": now.failed,
    }
