"""A story out of one seed: everything of `nouns.KINDS` befalls the site, as often and as long as it does in the field.

Each kind has a generator of its own, so leaving one kind out of a story changes nothing in the others. Troubles of one
family never overlap on the same thing (a road is cut or silent, not both; who is dark is not killed). Some power cuts
come in pairs, some just after a road is back, when the backlog drains. The last part is calm: all that can drain does.
Pure; the same seed and site give the same story in every process.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from edge.config import Site
from edge.contract import Level, Rule
from sim.world.nouns import KINDS, Story, Trouble

DAY_S = 86_400.0
LAST_CALM_S = 7_200.0  # twice what a day's backlog takes over the slowest road of a story
LAST_CALM_SHARE = 6  # of a short story, so much is calm at the end
MOMENT_S = (0.1, 0.1)  # of what happens at an instant
FIRST_S = 5.0  # before it nothing runs that could be troubled
MOODS = (0.3, 1.0, 1.0, 2.0)  # how much of each kind a story has: not each is a bad day for everything
PAIR_CHANCE = 0.35  # power that comes back goes again at once: a breaker, a low battery
PAIR_GAP_S = (0.5, 120.0)
DRAIN_CHANCE = 0.4  # of a cut road that is back: the power goes while its backlog drains
DRAIN_GAP_S = (1.0, 40.0)
BACK_AFTER_S = (300.0, 7_200.0)  # what went beyond a threshold stays there so long
EXCEPTION_CODES = (1, 2, 3, 4, 6, 11)  # MODBUS Application Protocol V1.1b3, chapter 7
TERMINAL_DRIVER = "beidou"
ROAD_DRIVER = "mqtt"
REGISTER_DRIVER = "modbus"
COUNTED = ("point.reset", "point.pour", "point.wild")  # of points that count up

# Of these, what is wrong with one thing is one of them at a time.
FAMILIES = (("road.cut", "road.refused", "road.silent"), ("power.cut", "power.kill", "power.stop"))
FAMILY_OF = {kind: family[0] for family in FAMILIES for kind in family}

Values = Callable[[random.Random, str], float]
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Ill:
    """How a kind befalls: so often a day on the whole site, for how long (s; each magnitude is as likely), how much."""

    a_day: float
    lasts_s: Span
    value: Values = lambda _random, _on: 0.0


def story_of(seed: int, days: float, site_text: str, site: Site) -> Story:
    """A story of `days` at a site whose file's text is `site_text`."""
    lasts_s = days * DAY_S
    calm_from_s = lasts_s - min(LAST_CALM_S, lasts_s / LAST_CALM_SHARE)
    fate = _Fate(seed, site, calm_from_s)
    troubles = _apart([trouble for kind in KINDS for trouble in fate.of(kind)])
    name = f"seed {seed}"
    about = f"{days:g} days of random misfortune; calm from {calm_from_s:.0f} s on"
    return Story(name, site_text, seed, lasts_s, troubles, about=about)


class _Fate:
    """What one seed holds for a site until `until_s`."""

    def __init__(self, seed: int, site: Site, until_s: float) -> None:
        self._seed = seed
        self._until_s = until_s
        self._site = site
        self._spans = {point.id: _span(point.minimum, point.maximum) for point in site.points}
        self._ills = _ills(self._part_of_span)
        self._things = _things(site)

    def of(self, kind: str) -> list[Trouble]:
        """All troubles of one kind, in order."""
        chance = self._random(kind)
        if kind == "disk.damage":
            found = self._damage(chance)
        elif kind in ("point.is", "point.ramp"):
            found = list(self._beyond(kind, chance))
        else:
            found = list(self._plain(kind, chance))
        if kind == "power.cut":
            found += [*self._pairs(found, chance), *self._in_drains(chance)]
        return [self._ended(trouble) for trouble in found if trouble.at_s < self._until_s]

    def _random(self, kind: str) -> random.Random:
        return random.Random(f"{self._seed}/misfortune/{kind}")

    def _ended(self, trouble: Trouble) -> Trouble:
        """Nothing lasts into the calm."""
        return replace(trouble, for_s=round(min(trouble.for_s, self._until_s - trouble.at_s), 1))

    def _instants(self, kind: str, chance: random.Random) -> Iterator[float]:
        a_day = self._ills[kind].a_day * chance.choice(MOODS)
        at_s = FIRST_S
        while True:
            at_s += chance.expovariate(a_day / DAY_S)
            if at_s >= self._until_s:
                return
            yield round(at_s, 1)

    def _plain(self, kind: str, chance: random.Random) -> Iterator[Trouble]:
        ill, things = self._ills[kind], self._on(kind)
        if not things:
            return
        for at_s in self._instants(kind, chance):
            on = chance.choice(things)
            yield Trouble(kind, at_s, _scaled(chance, ill.lasts_s), on, ill.value(chance, on))

    def _on(self, kind: str) -> Sequence[str]:
        if kind.startswith("sky."):
            return self._things["sky"]
        if kind in ("device.exception", "device.twice", "device.late"):
            return self._things["registers"]  # of a dialogue: who only speaks is not late and refuses nothing
        if kind in COUNTED:
            return self._things["counters"]
        return self._things[KINDS[kind][0]]

    def _pairs(self, cuts: Sequence[Trouble], chance: random.Random) -> list[Trouble]:
        twice = [cut for cut in cuts if chance.random() < PAIR_CHANCE]
        return [Trouble("power.cut", _after(cut, chance, PAIR_GAP_S), _scaled(chance, (1.0, 300.0))) for cut in twice]

    def _in_drains(self, chance: random.Random) -> list[Trouble]:
        roads = [road for road in self.of("road.cut") if chance.random() < DRAIN_CHANCE]
        return [Trouble("power.cut", _after(cut, chance, DRAIN_GAP_S), _scaled(chance, (1.0, 600.0))) for cut in roads]

    def _damage(self, chance: random.Random) -> list[Trouble]:
        """Bytes go while nobody has the file open: in the dark."""
        dark = [trouble for trouble in self.of("power.cut") if trouble.for_s > 1.0]
        instants = list(self._instants("disk.damage", chance))
        chosen = sorted(chance.sample(range(len(dark)), min(len(instants), len(dark))))
        value = self._ills["disk.damage"].value
        return [Trouble("disk.damage", round(dark[i].at_s + 0.5, 1), 0.1, value=value(chance, "")) for i in chosen]

    def _beyond(self, kind: str, chance: random.Random) -> Iterator[Trouble]:
        """A point with a limit goes to or just beyond one of its thresholds; a ramp comes back later."""
        steps = {point.id: float(point.step) for point in self._site.points}
        mine = self._things["point"]
        plain = [limit for limit in self._site.limits if limit.plain and limit.point in mine]
        limits = [limit for limit in plain if limit.rule is not Rule.STALE]
        free_s: dict[str, float] = {}
        for at_s in self._instants(kind, chance):
            if not limits:
                return
            limit = chance.choice(limits)
            value = _beyond_one(limit.rule, limit.thresholds, chance) * steps[limit.point]
            length_s = _scaled(chance, self._ills[kind].lasts_s)
            back_s = round(at_s + length_s + _scaled(chance, BACK_AFTER_S), 1)
            if at_s < free_s.get(limit.point, 0.0):
                continue
            yield Trouble(kind, at_s, length_s, limit.point, round(value, 6))
            free_s[limit.point] = at_s + length_s
            if kind == "point.ramp":
                home = _home(limit.rule, limit.thresholds, limit.hysteresis_steps) * steps[limit.point]
                yield Trouble(kind, min(back_s, self._until_s - 1.0), length_s, limit.point, round(home, 6))
                free_s[limit.point] = back_s + length_s

    def _part_of_span(self, chance: random.Random, point: str, most: float) -> float:
        """Up to `most` of what the point can show, either way."""
        return _rounded(chance.choice((-1, 1)) * self._spans[point] * most * _scaled(chance, (0.02, 1.0)))


def _ills(part: Callable[[random.Random, str, float], float]) -> dict[str, Ill]:
    """Rates are of a small site on a very bad day: most kinds are met each day, and leave time between them."""
    rare, often, always = _chances(0.01, 0.1), _chances(0.05, 0.5), _chances(0.2, 1.0)
    return {
        "road.cut": Ill(6, (3, DAY_S)),
        "road.refused": Ill(4, (2, 3_600)),
        "road.silent": Ill(3, (10, 7_200)),
        "road.slow": Ill(2, (120, 14_400), lambda chance, _: _scaled(chance, (300, 20_000))),
        "road.delay": Ill(2, (120, 14_400), lambda chance, _: _scaled(chance, (0.1, 2.0))),
        "sky.blocked": Ill(3, (30, 14_400)),
        "sky.loss": Ill(2, (600, 21_600), _chances(0.05, 0.4)),
        "sky.terminal": Ill(1, (600, 7_200), _chances(0.05, 0.3)),
        "device.silence": Ill(6, (5, 7_200), always),
        "device.noise": Ill(3, (60, 7_200), often),
        "device.crc": Ill(3, (60, 7_200), often),
        "device.late": Ill(2, (30, 1_800), lambda chance, _: _scaled(chance, (0.1, 3.0))),
        "device.exception": Ill(2, (10, 3_600), lambda chance, _: float(chance.choice(EXCEPTION_CODES))),
        "device.short": Ill(2, (60, 7_200), often),
        "device.twice": Ill(2, (60, 7_200), often),
        "point.stick": Ill(3, (300, 43_200)),
        "point.spike": Ill(8, (5, 60), lambda chance, on: part(chance, on, 0.8)),
        "point.drift": Ill(2, (3_600, 43_200), lambda chance, on: part(chance, on, 0.1)),
        "point.is": Ill(5, (20, 7_200)),
        "point.ramp": Ill(3, (60, 10_800)),
        "port.unplug": Ill(3, (2, 7_200)),
        "port.flip": Ill(1, (60, 3_600), rare),
        "port.drop": Ill(1, (60, 3_600), rare),
        "power.cut": Ill(3, (0.5, 7_200)),
        "power.kill": Ill(3, (0.5, 120)),
        "power.stop": Ill(1, (0.5, 600)),
        "disk.full": Ill(1, (30, 10_800)),
        "disk.error": Ill(1.5, (5, 1_800), often),
        "disk.slow": Ill(1.5, (60, 7_200), lambda chance, _: _scaled(chance, (0.02, 3.0))),
        "disk.hang": Ill(1, (2, 1_200)),
        "disk.read_only": Ill(0.7, (30, 7_200)),
        "disk.damage": Ill(0.3, MOMENT_S, lambda chance, _: float(chance.randint(16, 4096))),
        "clock.1970": Ill(0.7, (3_600, DAY_S)),
        "clock.step": Ill(
            0.7, (60, 14_400), lambda chance, _: _rounded(chance.choice((-1, 1)) * _scaled(chance, (0.5, 90_000)))
        ),
        "clock.unsynced": Ill(1.5, (300, 43_200)),
        "province.away": Ill(1, (5, 28_800)),
        "province.forgets": Ill(0.15, MOMENT_S),
        "point.reset": Ill(3, MOMENT_S),
        "point.pour": Ill(3, (300, 5_400), lambda chance, _: _scaled(chance, (10, 200))),
        "point.wild": Ill(4, (5, 60)),
    }


def _things(site: Site) -> dict[str, tuple[str, ...]]:
    """What a trouble may be `on`, by KINDS' word; "registers": the devices that are asked."""
    return {
        "": ("",),
        "link": tuple(link.id for link in site.links if link.driver.name == ROAD_DRIVER),
        "sky": tuple(link.id for link in site.links if link.driver.name == TERMINAL_DRIVER),
        "device": tuple(device.id for device in site.devices),
        "registers": tuple(device.id for device in site.devices if device.driver == REGISTER_DRIVER),
        "port": tuple(dict.fromkeys(device.port for device in site.devices)),
        "point": tuple(point.id for device in site.devices for point in device.points),
        "counters": tuple(dict.fromkeys(it.point for it in site.limits if it.judged.spec and it.judged.spec.counter)),
    }


def _apart(troubles: Sequence[Trouble]) -> tuple[Trouble, ...]:
    """In order of time; what would begin before another of its family on the same thing is over is left out.

    A kind that is drawn later never moves one that was drawn before: it gives way.
    """
    kept: list[Trouble] = []
    taken: dict[tuple[str, str], list[Span]] = {}
    for trouble in sorted(troubles, key=lambda t: (list(KINDS).index(t.kind), t.at_s)):
        spans = taken.setdefault((FAMILY_OF.get(trouble.kind, trouble.kind), trouble.on), [])
        if all(trouble.at_s > end_s or trouble.end_s < from_s for from_s, end_s in spans):
            spans.append((trouble.at_s, trouble.end_s))
            kept.append(trouble)
    return tuple(sorted(kept, key=lambda t: (t.at_s, t.kind, t.on)))


def _chances(least: float, most: float) -> Values:
    return lambda chance, _on: _rounded(chance.uniform(least, most))


def _scaled(chance: random.Random, span: Span) -> float:
    """Between the two, each order of magnitude as likely as the next."""
    least, most = span
    return _rounded(math.exp(chance.uniform(math.log(least), math.log(most))))


def _rounded(value: float) -> float:
    """Three digits: a person reads it, and types it again."""
    return float(f"{value:.3g}")


def _span(minimum: object, maximum: object) -> float:
    return float(str(maximum)) - float(str(minimum)) if minimum is not None and maximum is not None else 100.0


def _after(trouble: Trouble, chance: random.Random, gap_s: Span) -> float:
    return round(trouble.end_s + _scaled(chance, gap_s), 1)


def _beyond_one(rule: Rule, thresholds: Sequence[tuple[Level, int]], chance: random.Random) -> float:
    """In steps: exactly at a threshold, or somewhat beyond it."""
    sign = 1 if rule is Rule.ABOVE else -1
    _, threshold = chance.choice(list(thresholds))
    return threshold + sign * chance.choice((0, 1, 3, 10))


def _home(rule: Rule, thresholds: Sequence[tuple[Level, int]], hysteresis_steps: int) -> float:
    """In steps: where the limit is surely left."""
    sign = 1 if rule is Rule.ABOVE else -1
    nearest = min(sign * threshold for _, threshold in thresholds)
    return sign * (nearest - hysteresis_steps - 20)
