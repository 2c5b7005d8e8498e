"""Whether a story makes sense at its site: kinds and things that are there, chances that are chances, times within it.

For whoever is handed a story, be it written by a person or drawn from a seed. Pure; every mistake is a sentence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

from edge.config import Site
from edge.contract import Level
from sim.world.nouns import KINDS, Expect, Story, Trouble

SKY = "sky"
NONE = "none"
ANY_VALUE = ("point.", "clock.step")  # 0 is a value of these


def problems_of(story: Story, site: Site) -> list[str]:
    """One sentence for each mistake; none for a story that can be played."""
    things = things_of(site)
    found: list[str] = []
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
    if means.startswith("chance") and not 0 < trouble.value <= 1:
        found.append(f"value = {trouble.value:g} must be a chance, above 0 and up to 1: {means}")
    elif means and not trouble.value and not trouble.kind.startswith(ANY_VALUE):
        found.append(f"value is missing: {means}")
    if not means and trouble.value:
        found.append("value means nothing here: leave it out")
    if trouble.at_s < 0 or trouble.for_s < 0 or trouble.at_s > lasts_s:
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
