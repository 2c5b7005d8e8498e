"""Whether a story makes sense at its site: kinds and things that are there, chances that are chances, times within it.

For whoever is handed a story, be it written by a person or drawn from a seed. Pure; every mistake is a sentence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from math import isfinite

from edge.config import Site
from edge.contract import Level
from sim.instrument import MOST_LATE_S
from sim.models import models_of
from sim.world.climate import KNOBS
from sim.world.nouns import KINDS, Expect, Story, Trouble

SKY = "sky"
NONE = "none"
ANY_VALUE = ("point.", "clock.step")  # 0 is a value of these
DAY_S = 86_400.0
LONGEST_S = 400 * DAY_S  # a year and a bit: some days of a processor
MOST_VALUE = 1e12  # of any instrument, in its unit
MOST_KNOB = 10_000.0  # the largest that means anything: hours of a year, a factor beyond any weather
MOST_TROUBLES = 100_000  # a thousand a day for the longest story are fewer
MOST_SEED = 2**63 - 1  # that a story file can hold
# What a value may be: at least, at most, whether whole. Kinds that are not here have a chance, any value, or none.
VALUES: Mapping[str, tuple[float, float, bool]] = {
    "road.slow": (1.0, 1e9, False),  # bytes/s: less is a road that is cut
    "road.delay": (0.0, 600.0, False),  # a satellite takes 0.3 s; a broker gives up far earlier than this
    "device.late": (0.0, MOST_LATE_S, False),
    "device.exception": (1, 255, True),  # one byte of the reply
    "disk.slow": (0.0, 3600.0, False),
    "disk.damage": (1, 1_000_000_000, True),
    "clock.step": (-10 * 366 * DAY_S, 10 * 366 * DAY_S, False),  # ten years: further off no clock was found
}


def problems_of(story: Story, site: Site) -> list[str]:
    """One sentence for each mistake; none for a story that can be played."""
    things = things_of(site)
    found = _head(story)
    try:
        models_of(site, lambda _point: lambda _at_s: 0.0)
    except ValueError as error:
        found.append(f"[[device]] {error}")
    for trouble in story.troubles:
        where = f"[[trouble]] {trouble.kind} at {trouble.at_s:g} s"
        found += [f"{where}: {why}" for why in _trouble(trouble, things, story.lasts_s)]
    for expect in story.expects:
        where = f"[[expect]] {expect.limit} {expect.level}"
        found += [f"{where}: {why}" for why in _expect(expect, site, things["every link"], story.lasts_s)]
    return found


def things_of(site: Site) -> Mapping[str, Collection[str]]:
    """What a trouble's `on` may name, by KINDS' word for it; "sky" for Beidou links, "every link" for all."""
    by_driver = {link.id: link.driver.name for link in site.links}
    return {
        "link": [link for link, driver in by_driver.items() if driver != "beidou"],
        "sky": [link for link, driver in by_driver.items() if driver == "beidou"],
        "every link": list(by_driver),
        "device": [device.id for device in site.devices],
        "point": [point.id for device in site.devices for point in device.points],
        "port": list(dict.fromkeys(device.port for device in site.devices)),
    }


def value_problem(kind: str, value: float) -> str:
    """What is wrong with a value of this kind; "" when it may be. 0 where the kind has no value or needs one is not
    judged here."""
    means = KINDS[kind][1]
    if means.startswith("chance"):
        return "" if 0 < value <= 1 else f"value = {value:g} must be a chance, above 0 and up to 1: {means}"
    least, most, is_whole = VALUES.get(kind, (-MOST_VALUE, MOST_VALUE, False))
    if not least <= value <= most or (is_whole and value != int(value)):
        whole = "a whole number " if is_whole else ""
        return f"value = {value:g} must be {whole}from {least:g} to {most:g}: {means}"
    return ""


def _head(story: Story) -> list[str]:
    """The story's length, seed and weather."""
    found = []
    if not 0 < story.lasts_s <= LONGEST_S:
        found.append(f"lasts: {story.lasts_s:g} s must be above 0 and up to {LONGEST_S / DAY_S:g} days")
    if not -MOST_SEED <= story.seed <= MOST_SEED:
        found.append(f"seed: {story.seed} must be from {-MOST_SEED} to {MOST_SEED}")
    if len(story.troubles) > MOST_TROUBLES:
        found.append(f"[[trouble]]: {len(story.troubles)} are too many, {MOST_TROUBLES} at most")
    for knob, value in story.weather.items():
        if knob not in KNOBS:
            found.append(f"[weather] {knob}: there is no such knob{_near(knob, KNOBS)}")
        elif not -MOST_KNOB <= value <= MOST_KNOB or (value < 0 and knob != "temperature"):
            least = -MOST_KNOB if knob == "temperature" else 0
            found.append(f"[weather] {knob}: {value:g} must be from {least:g} to {MOST_KNOB:g}")
    return found


def _trouble(trouble: Trouble, things: Mapping[str, Collection[str]], lasts_s: float) -> Sequence[str]:
    if trouble.kind not in KINDS:
        return [f"there is no such kind{_near(trouble.kind, KINDS)}"]
    what, means = KINDS[trouble.kind]
    what = SKY if trouble.kind.startswith("sky.") else what
    found = []
    if what and trouble.on not in things[what]:
        named = f"on = {trouble.on!r} is not there" if trouble.on else "on is missing"
        found.append(f"{named}; this site has as a {what}: {', '.join(things[what]) or 'nothing'}")
    if not what and trouble.on:
        found.append(f"on = {trouble.on!r} means nothing here: leave it out")
    if means and not trouble.value and not means.startswith("chance") and not trouble.kind.startswith(ANY_VALUE):
        found.append(f"value is missing: {means}")
    elif means and (problem := value_problem(trouble.kind, trouble.value)):
        found.append(problem)
    if not means and trouble.value:
        found.append("value means nothing here: leave it out")
    if not (0 <= trouble.at_s <= lasts_s and trouble.for_s >= 0 and isfinite(trouble.for_s)):
        found.append(f"is not within the story, which lasts {lasts_s:g} s")
    return found


def _expect(expect: Expect, site: Site, links: Collection[str], lasts_s: float) -> Sequence[str]:
    limits = {limit.id: limit for limit in site.limits}
    if expect.limit not in limits:
        return [f"there is no such limit{_near(expect.limit, limits)}"]
    found = []
    levels = [NONE, *(level.name.lower() for level, _ in limits[expect.limit].thresholds)]
    if expect.level not in levels:
        known = expect.level in (level.name.lower() for level in Level)
        found.append(f"{'this limit has' if known else 'a level is one of'} {', '.join(levels)}")
    if not 0 <= expect.from_s < expect.by_s <= lasts_s:
        found.append(f"from {expect.from_s:g} s by {expect.by_s:g} s: from must be before by, both in {lasts_s:g} s")
    if expect.link and expect.link not in links:
        found.append(f"link = {expect.link!r} is not there; this story has {', '.join(links)}")
    return found


def _near(word: str, known: Collection[str]) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f": did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
