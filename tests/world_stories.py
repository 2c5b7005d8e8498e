"""Short stories at a small site, each full of one kind of trouble: what shows a fault of the daemon (world_mutants.py).

The daemon keeps every promise in each of them. The last minutes are calm: what is at the province by then is
what the judges count. The site is world_site.py's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

from sim.world.nouns import Story, Trouble
from sim.world.scenario import seconds
from sim.world.stage import Played, play_in_memory
from tests.world_site import ROADS, RULES, site

DRAIN_S = 300.0  # what so small a site holds is at the province by then; the judges allow three times that
SMALL_QUOTA = "150kB"  # of the story in which the store fills: some thousand rounds instead of some hundred thousand
LOOK_EVERY_S, LOOK_READINGS = 120.0, 1000  # the judges look often: a play ends soon after a promise is found broken
SMALL_LOG_BYTES = 460_000  # its write-ahead log: 400 pages, and what one transaction adds


def story(name: str, lasts: str, text: str, site_text: str, seed: int = 1) -> Story:
    """`text`: a trouble a line, `at for kind on value`, as far as they mean something."""
    troubles = []
    for line in filter(None, map(str.strip, text.splitlines())):
        at, length, kind, *rest = line.split()
        on = rest[0] if rest else ""
        if on and not on[0].isalpha():
            rest.insert(0, on := "")
        value = float(rest[1]) if len(rest) > 1 else 0.0
        troubles.append(Trouble(kind, seconds(at), seconds(length), on, value))
    return Story(name, site_text, seed, seconds(lasts), tuple(troubles))


CALM = """
    1s 2h point.is pond.level 418
    1s 2h point.is dam.pore 100
    1s 2h point.is fan.gas 0.5
"""

STORIES = {
    it.name: it
    for it in (
        story(
            "rules",
            "34min",
            """
            1s 2h point.is pond.level 418
            1s 900s point.is pond.beach 100
            905s 300s point.is pond.beach 10
            1205s 1h point.is pond.beach 100
            1s 1299s point.is dam.pore 100
            1300s 200s point.is dam.pore 250
            1500s 1h point.is dam.pore 100
            1s 959s point.is fan.gas 0.5
            960s 600s point.is fan.gas 2.5
            1560s 1h point.is fan.gas 0.5
            240s 240s point.pour gauge.rain 400
            490s 1s point.reset gauge.rain
            510s 40s power.kill
            1100s 5s power.kill
            1200s 3s power.stop
            1316s 4s power.kill
            1680s 40s point.wild gauge.rain
            """,
            site() + RULES,
        ),
        story(
            "roads",
            "29min",
            """
            2min 1s power.kill
            5min 400s road.cut fibre
            5min 405s road.refused cellular
            15min 60s road.silent fibre
            15min 60s road.silent cellular
            """,
            site(),
        ),
        story(
            "province",
            "18min",
            """
            30s 5min province.away
            8min 0.1s province.forgets
            """,
            site(),
        ),
        story(
            "cuts",
            "24min",
            """
            2min 12min road.cut fibre
            2min 12min road.cut cellular
            4min 5s power.cut
            6min 5s power.cut
            8min 5s power.cut
            10min 5s power.cut
            743s 1s power.stop
            13min 1s power.kill
            """,
            site(commit="40s"),
        ),
        story(
            "alarms",
            "21min",
            """
            1s 59s point.is pond.level 418
            60s 50s point.is pond.level 420
            110s 50s point.is pond.level 421.3
            160s 30s point.is pond.level 420.9
            190s 30s point.is pond.level 419.9
            220s 580s point.is pond.level 418
            820s 80s point.is pond.level 422.5
            900s 900s point.is pond.level 418
            1s 299s point.is dam.pore 100
            300s 12s point.is dam.pore 250
            312s 10s point.is dam.pore 100
            322s 15s point.is dam.pore 250
            337s 3s point.is dam.pore 100
            340s 24min point.is dam.pore 100
            1s 400s point.is fan.gas 0.5
            401s 199s point.is fan.gas 2.5
            600s 20min point.is fan.gas 0.5
            430s 2s power.kill
            640s 100s device.silence dam 1
            800s 5min road.silent fibre
            """,
            site(commit="20s", batch="30s"),
        ),
        story(
            "wires",
            "26min",
            """
            1min 60s device.late dam 5.05
            2min 60s device.late fan 5.05
            3min 90s device.crc dam 0.4
            5min 90s device.noise pond 0.3
            7min 90s port.flip rs485 0.2
            9min 5min port.flip wind 0.9
            14min 3min port.drop wind 0.9
            11min 30s device.silence dam 1
            12min 60s device.silence pond 0.4
            14min 20s port.unplug plc
            """,
            site(),
        ),
        story(
            "disk",
            "27min",
            """
            1min 11min road.cut fibre
            1min 11min road.cut cellular
            4min 1s power.kill
            5min 200s disk.read_only
            1s 483s point.is fan.gas 0.5
            484s 60s point.is fan.gas 2.5
            544s 1h point.is fan.gas 0.5
            """,
            site(links=(*ROADS, "beidou")),
        ),
        story(
            "clock",
            "28min",
            """
            100s 10min road.cut fibre
            100s 10min road.cut cellular
            110s 8min clock.1970
            120s 5s power.cut
            15min 5min clock.step 3600
            """,
            site(),
        ),
        story(
            "doubt",
            "75min",
            """
            60s 6min clock.unsynced
            70s 7min road.cut fibre
            70s 7min road.cut cellular
            80s 5s power.cut
            3700s 90s road.cut fibre
            3700s 90s road.cut cellular
            """,
            site(every="10s"),
        ),
        story(
            "narrow",
            "40min",
            "",
            site(links=("beidou",), every="20s"),
        ),
        story(
            "crowd",
            "40min",
            CALM.replace("1s 2h point.is pond.level 418", "")
            + """
            1min 12min sky.blocked beidou
            13min 6min point.is pond.level 422.5
            """,
            site(links=("beidou",), every="10s", more=24),
        ),
        story(
            "sky",
            "10min",
            "5min 2s power.kill",
            site(links=("beidou",)),
        ),
        story(
            "backlog",
            "25min",
            CALM
            + """
            1min 15min road.cut fibre
            15min 2min point.is fan.gas 2.5
            959s 3min road.slow fibre 60
            """.replace("1s 2h point.is fan.gas 0.5", ""),
            site(links=("fibre",), more=24).replace('batch = "10s"', 'batch = "10s"\nmtu = 1500'),
        ),
        story(
            "evicting",
            "34min",
            """
            1s 29s point.is fan.gas 0.5
            30s 2h point.is fan.gas 2.5
            20s 24min road.cut fibre
            1min 25min clock.1970
            70s 5s power.cut
            1650s 1s power.kill
            """,
            site(links=("fibre",), every="1s", quota=SMALL_QUOTA, more=24),
        ),
        story(
            "full",
            "29min",
            CALM
            + """
            60s 22min road.cut fibre
            1350s 1s power.kill
            """,
            site(links=("fibre",), every="1s", quota=SMALL_QUOTA, more=24),
        ),
    )
}


def played(name: str) -> Played:
    """Plays one of them."""
    small = small_store() if SMALL_QUOTA in STORIES[name].site else contextlib.nullcontext()
    with (
        mock.patch("sim.world.judge_truth.DRAIN_S", DRAIN_S),
        mock.patch("sim.world.world.CHECK_EVERY_S", LOOK_EVERY_S),
        mock.patch("sim.world.judge.BATCH_READINGS", LOOK_READINGS),
        small,
    ):
        return play_in_memory(STORIES[name])


@contextlib.contextmanager
def small_store() -> Iterator[None]:
    """A store as small as no site may have it, so that it fills in half an hour."""
    with (
        mock.patch("edge.config.walk.MIN_QUOTA_BYTES", 50_000),
        mock.patch("sim.world.judge_running.STORE_SLACK_BYTES", SMALL_LOG_BYTES),
    ):
        yield
