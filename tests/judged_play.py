"""A play made by hand, for the judges' own tests: two hours of a small site that nothing is wrong with.

`Play` holds what instruments showed and what the province got, as plain lists that a test distorts before it asks the
judges. Four asked points and two that speak by themselves, every 10 s; the level of a pond that goes over its limits
and back, a slope that does so for long enough, a wind that falls silent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any

from edge.config.load import load
from edge.config.site import Site
from edge.contract import Alarm, Change, ClockQuality, Kind, Level, Quality, Rule
from sim.province_store import Store
from sim.world.judge import Watch, judge
from sim.world.nouns import Broken, Expect, Record, Shown, Span, Story, Trouble, true_ms

GATEWAY = "judged-1"
EPOCH = 0xABCD
LASTS_S = 7200.0
PERIOD_S = 10.0
ANSWER_S = 0.3  # from the instant to the answer
ARRIVES_S = 1.0

SITE = """
[gateway]
id = "judged-1"
key = "judged-1.key"
socket = "s"
[store]
path = "store"
quota = "16MB"
commit_every = "1s"
[[port]]
id = "bus"
open = "tcp:127.0.0.1:502"
[[port]]
id = "mast"
open = "serial:/dev/ttyS9"
baud = 4800
[[port]]
id = "bd"
open = "serial:/dev/ttyS8"
[[device]]
id = "plc"
driver = "modbus"
port = "bus"
unit = 1
{points}
[[device]]
id = "vane"
driver = "serial_line"
port = "mast"
format = "nmea"
[[device.point]]
id = "direction"
unit = "deg"
step = 1
range = [0, 360]
every = "10s"
sentence = "MWV"
field = 1
[[device.point]]
id = "wind"
unit = "m/s"
step = 0.1
range = [0, 60]
every = "10s"
sentence = "MWV"
field = 3
[[limit]]
id = "pond-high"
point = "level"
above = {{ yellow = 10, orange = 15, red = 20 }}
hysteresis = 1
[[limit]]
id = "slope-fast"
point = "slope"
above = {{ red = 5 }}
hold = "60s"
clear_hold = "120s"
[[limit]]
id = "pressure-low"
point = "pressure"
below = {{ orange = 80 }}
[[limit]]
id = "wind-quiet"
point = "wind"
stale = {{ yellow = "2min" }}
[[link]]
id = "fibre"
driver = "mqtt"
host = "10.0.0.1"
[[link]]
id = "beidou"
driver = "beidou"
port = "bd"
province = 1595001
limit_bits = 628
"""
FIBRE = """[[link]]
id = "fibre"
driver = "mqtt"
host = "10.0.0.1"
"""
POINT = """[[device.point]]
id = "{0}"
unit = "m"
step = {1}
range = [-100, 200]
every = "10s"
register = {2}
type = "f32"
"""
ASKED = (("level", "0.01"), ("slope", "0.1"), ("pressure", "0.1"), ("calm", "0.01"))
QUIET_S = (4000.0, 4300.0)  # the wind says nothing


def level(at_s: float) -> float:
    """12 m from 1000 s, 21 m from 1200 s, 18 m from 1500 s, low again from 2000 s."""
    base = 5.0
    for from_s, metres in ((1000, 12.0), (1200, 21.0), (1500, 18.0), (2000, 5.0)):
        base = metres if at_s >= from_s else base
    return round(base + at_s % 97 / 100, 2)


def slope(at_s: float) -> float:
    """Over 5 from 3000 to 3400 s; 40 s of it at 2500 s are too short for an alarm."""
    beyond = 3000 <= at_s < 3400 or 2500 <= at_s < 2540
    return round((6.0 if beyond else 1.0) + at_s % 7 / 10, 1)


SHOWS: dict[str, Callable[[float], float]] = {
    "level": level,
    "slope": slope,
    "pressure": lambda at_s: round(100 + at_s % 130 / 10, 1),
    "calm": lambda at_s: round(at_s % 9000 / 100, 2),
    "direction": lambda at_s: float(round(at_s) % 359),
    "wind": lambda at_s: round(at_s % 201 / 10, 1),
}
STEPS = {name: Decimal(step) for name, step in (*ASKED, ("direction", "1"), ("wind", "0.1"))}


@dataclass
class Round:
    seq: int
    at_s: float
    received_s: float
    steps: dict[str, int | None]
    quality: dict[str, int] = field(default_factory=dict)
    clock: int = 0
    epoch: int = EPOCH


@dataclass
class Told:
    """An alarm at the province."""

    seq: int
    received_s: float
    alarm: Alarm
    epoch: int = EPOCH
    links: tuple[str, ...] = ("fibre",)  # over which it came


@dataclass
class Play:
    """What was and what arrived. `judge` writes the database and asks."""

    site: Site
    record: Record
    rounds: list[Round]
    alarms: list[Told]
    accounts: list[tuple[int, float, dict[str, Any]]] = field(default_factory=list)
    statuses: list[tuple[int, float]] = field(default_factory=list)  # seq, at_s
    packets: list[tuple[int, int, int, str, float]] = field(default_factory=list)  # counter, kind, bytes, link, when
    windows: list[tuple[Any, ...]] = field(default_factory=list)  # point, window_s, from_s, least, mean, most, count
    troubles: list[Trouble] = field(default_factory=list)
    expects: tuple[Expect, ...] = ()
    lasts_s: float = LASTS_S

    def of(self, at_s: float) -> Round:
        """The round of an instant."""
        return next(one for one in self.rounds if one.at_s == at_s)

    def trouble(self, kind: str, at_s: float, for_s: float, on: str = "", value: float = 0.0) -> None:
        self.record.troubles.append((at_s, Trouble(kind, at_s, for_s, on, value)))

    def alarm(self, limit: str, level: Level) -> Told:
        """The first of a limit at this level."""
        return next(told for told in self.alarms if told.alarm.limit == limit and told.alarm.level is level)

    def copy(self) -> Play:
        """One that can be distorted without harm to this; the record is shared."""
        rounds = [replace(one, steps=dict(one.steps), quality=dict(one.quality)) for one in self.rounds]
        return replace(
            self,
            rounds=rounds,
            alarms=[replace(told) for told in self.alarms],
            accounts=list(self.accounts),
            statuses=list(self.statuses),
        )

    def story(self) -> Story:
        return Story("by hand", "", 1, self.lasts_s, (), self.expects)

    def write(self, path: Path) -> Path:
        """A province's database of it."""
        store = Store(path, durable=False)
        store.begin()
        for one in self.rounds:
            store.add_entries(GATEWAY, one.epoch, [one.seq], Kind.ROUNDS, true_ms(one.received_s))
            store.add_readings(_rows(one))
        for told in self.alarms:
            self._add_alarm(store, told)
        for seq, received_s, body in self.accounts:
            received_ms = true_ms(received_s)
            store.add_entries(GATEWAY, EPOCH, [seq], Kind.ACCOUNT, received_ms)
            store.add_map("accounts", (GATEWAY, EPOCH, seq), received_ms, 0, body, received_ms)
        for seq, at_s in self.statuses:
            store.add_entries(GATEWAY, EPOCH, [seq], Kind.STATUS, true_ms(at_s))
            store.add_map("statuses", (GATEWAY, EPOCH, seq), true_ms(at_s), 0, {"store": "ok"}, true_ms(at_s))
        said = [
            (told.epoch, 70_000 + 10 * told.seq + place, int(Kind.ALARM), 40, link, told.received_s)
            for told in self.alarms
            for place, link in enumerate(told.links)
        ]
        for epoch, counter, kind, size, link, received_s in sorted(
            [*said, *((EPOCH, *packet) for packet in self.packets)], key=lambda it: it[5]
        ):
            store.add_packet((GATEWAY, epoch, counter), kind, size, link, true_ms(received_s), 1, 0)
        store.add_summaries(
            (GATEWAY, point, window_s, true_ms(from_s), *rest, true_ms(self.lasts_s - 5), 0, 0)
            for point, window_s, from_s, *rest in self.windows
        )
        store.commit()
        store.close()
        return path

    def _add_alarm(self, store: Store, told: Told) -> None:
        alarm, received_ms = told.alarm, true_ms(told.received_s)
        step = Decimal(1) if alarm.rule is Rule.STALE else STEPS[alarm.point]
        value = None if alarm.value is None else alarm.value * step
        store.add_entries(GATEWAY, told.epoch, [told.seq], Kind.ALARM, received_ms)
        shown = (value, alarm.threshold * step, "m")
        store.add_alarm((GATEWAY, told.epoch, told.seq), alarm, shown, "in words", received_ms)

    def judge(self, folder: Path) -> list[Broken]:
        """What the judges say at the end, all looked at once."""
        path = self.write(folder / "province.db")
        return judge(self.record, self.site, path, self.story(), self.lasts_s, True)

    def watch(self, folder: Path, every_s: float) -> list[Broken]:
        """The same, looked at now and then."""
        watch = Watch(self.record, self.site, [self.write(folder / "watched.db")], self.story())
        broken = []
        for turn in range(1, round(self.lasts_s / every_s)):
            broken += watch.check(turn * every_s)
        return broken + list(watch.end(self.lasts_s))


def _rows(one: Round) -> list[tuple[Any, ...]]:
    rows = []
    for point, steps in one.steps.items():
        value = None if steps is None else float(steps * STEPS[point])
        quality = one.quality.get(point, Quality.GOOD if steps is not None else Quality.NO_ANSWER)
        times = true_ms(one.at_s), true_ms(one.received_s)
        rows.append((GATEWAY, one.epoch, one.seq, times[0], point, value, steps, quality, one.clock, times[1]))
    return rows


def in_steps(point: str, at_s: float) -> int:
    return round(Decimal(str(SHOWS[point](at_s))) / STEPS[point])


def site_of(folder: Path, *, only_card: bool = False) -> Site:
    """The small site; `only_card`: without its fibre."""
    points = "".join(POINT.format(name, step, 2 * place) for place, (name, step) in enumerate(ASKED))
    file = folder / "site.toml"
    file.write_text(SITE.format(points=points).replace(FIBRE, "") if only_card else SITE.format(points=points))
    return load(file)


def faultless(folder: Path, lasts_s: float = LASTS_S) -> Play:
    """The play as it should be: everything shown is there a second later."""
    record = Record()
    record.running.append(Span(0.0, inf))
    record.usable = {"fibre": [Span(0.0, inf)], "beidou": [Span(0.0, inf)]}
    record.used = {"fibre": [0.5], "beidou": []}
    play = Play(site_of(folder), record, [], [], lasts_s=lasts_s)
    for turn in range(round(lasts_s / PERIOD_S)):
        at_s = turn * PERIOD_S
        _show(record, at_s)
        steps = {name: _held(record, name, at_s) for name in SHOWS}
        play.rounds.append(Round(0, at_s, at_s + ARRIVES_S, steps))
        play.packets.append((turn, int(Kind.ROUNDS), 90, "fibre", at_s + ARRIVES_S))
    play.alarms = [told for told in _alarms() if told.received_s < lasts_s]
    number(play)
    return play


def _show(record: Record, at_s: float) -> None:
    for name, _ in ASKED:
        record.show(name, Shown(at_s + ANSWER_S, SHOWS[name](at_s), True))
    for second in range(0, round(PERIOD_S), 2):
        said_s = at_s + second + 0.7
        if not QUIET_S[0] <= said_s < QUIET_S[1]:
            for name in ("direction", "wind"):
                record.show(name, Shown(said_s, SHOWS[name](said_s), True))


def _held(record: Record, name: str, at_s: float) -> int | None:
    """What a round holds of a point: the answer, or what was said last before it."""
    if name in dict(ASKED):
        return in_steps(name, at_s)
    said_s = at_s - 10 + 8.7
    return None if said_s < 0 or QUIET_S[0] <= said_s < QUIET_S[1] else in_steps(name, said_s)


def _alarms() -> list[Told]:
    """What the limits say of all that."""
    found = []
    for limit, point, rule, at_s, to, change, threshold in (
        ("pond-high", "level", Rule.ABOVE, 1000.3, Level.YELLOW, Change.RAISED, 1000),
        ("pond-high", "level", Rule.ABOVE, 1200.3, Level.RED, Change.CHANGED, 2000),
        ("pond-high", "level", Rule.ABOVE, 1500.3, Level.ORANGE, Change.CHANGED, 1500),
        ("pond-high", "level", Rule.ABOVE, 2000.3, Level.NONE, Change.CLEARED, 1500),
        ("slope-fast", "slope", Rule.ABOVE, 3060.3, Level.RED, Change.RAISED, 50),
        ("slope-fast", "slope", Rule.ABOVE, 3520.3, Level.NONE, Change.CLEARED, 50),
        ("wind-quiet", "wind", Rule.STALE, 4118.9, Level.YELLOW, Change.RAISED, 120),
        ("wind-quiet", "wind", Rule.STALE, 4300.7, Level.NONE, Change.CLEARED, 120),
    ):
        value = None if rule is Rule.STALE else in_steps(point, at_s - ANSWER_S)
        alarm = Alarm(limit, point, to, change, rule, value, threshold, true_ms(at_s), ClockQuality.TRUSTED)
        found.append(Told(0, at_s + 0.5, alarm))
    return found


def number(play: Play) -> None:
    """Seqs as the store gives them, an account each half hour and after each start, a status each ten minutes."""
    taken: list[Any] = sorted([*play.rounds, *play.alarms], key=lambda it: it.received_s)
    points, seq, readings = len(SHOWS), 0, 0
    due = _words(play)
    play.statuses.clear()
    for it in [*taken, None]:
        received_s = play.lasts_s if it is None else it.received_s
        while due and received_s > due[0][0]:
            seq += 1
            at_s, is_account = due.pop(0)
            if is_account:
                play.accounts.append((seq, at_s, _account(readings, seq - 1)))
            else:
                play.statuses.append((seq, at_s))
        if it is not None:
            seq += 1
            it.seq = seq
            readings += points if isinstance(it, Round) else 0


def _words(play: Play) -> list[tuple[float, bool]]:
    """When an account (True) or a status is due."""
    accounts, statuses = {60.0 + 1800.0 * turn for turn in range(round(play.lasts_s / 1800.0) + 1)}, set()
    for life in play.record.running:
        lasts_s = min(life.to_s, play.lasts_s) - life.from_s
        accounts |= {life.from_s + 60.0 + 3600.0 * turn for turn in range(round(lasts_s / 3600.0) + 1)}
        statuses |= {life.from_s + 600.0 * turn for turn in range(int(lasts_s / 600.0) + 1)}
    return sorted([*((at_s, True) for at_s in accounts), *((at_s, False) for at_s in statuses)])


def _account(readings: int, entries: int) -> dict[str, Any]:
    sums = {"taken": readings, "settled": readings, "held": 0, "folded": 0, "evicted": 0}
    of_entries = {"taken": entries, "settled": entries, "held": 0, "folded": 0, "evicted": 0, "adopted": 0}
    return {**sums, "evicted_by": {}, "entries": of_entries, "balanced": True}


def moved(told: Told, **changes: Any) -> Told:
    """The same alarm with other words in it."""
    return replace(told, alarm=replace(told.alarm, **changes))
