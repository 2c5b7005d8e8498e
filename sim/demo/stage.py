"""What runs behind the story: the rig's processes, the world, the witness; and waiting, with all of it shown.

Everything happens in `_turn`, some ten times a second, whatever the story waits for: the water moves, what the gateway
and the province say is printed. The story waits for what happens, never only for time, so a slow machine makes it
longer and not wrong.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edge.control import ENVIRONMENT
from sim.demo.ledger import BEIDOU, LEVELS, Arrival, Moments, arrivals
from sim.demo.road import Road
from sim.demo.screen import Screen, took_words
from sim.demo.siren import SIREN_FILE, Change, Siren
from sim.demo.witness import AlarmKey, Witness
from sim.demo.world import SITE_FILE, SLAVES_FILE, World
from sim.rig import GATEWAY_SCRIPT, Rig

T = TypeVar("T")

TURN_S = 0.08
STATUS_EVERY_S = 4.0
PATIENCE_S = 60.0  # for anything the story waits for: ten times what it takes on two cores
GATEWAY = "dashugou-1"
BATCH = "2s"  # rounds travel together; alarms never wait
CARD_PERIOD_S = 10.0  # at pace 1; a civil card has 60 s, for which nobody would wait here
CARD_BYTES = 77  # of one message, level 3
MESSAGE_S = (2.0, 5.0)  # a short message on its way, from and to, at pace 1: 3.8 s on average in a published test
BEIDOU_PATIENCE_S = 150.0  # a slot, a message and the province's answer: some 20 s
COMMAND_S = 20.0  # a command answers in some tenths of a second


class NotSoFar(Exception):
    """The story cannot go on; `str()` says what did not happen."""


class Stage:
    """Everything behind the story, as a context manager: leaving it ends every process. `pace` scales all times."""

    def __init__(self, folder: Path, pace: float) -> None:
        self.pace = pace
        self.card_period_s = CARD_PERIOD_S * pace
        self.screen = Screen()
        self.rig = Rig(folder, GATEWAY)
        self.moments = Moments()
        self._arrived: set[AlarmKey] = set()
        self._levels: dict[str, str] = {}
        self._status_s = 0.0
        self._silent_ms = 0  # when the siren fell silent last

    def __enter__(self) -> Stage:
        self.rig.__enter__()
        try:
            self._start()
        except BaseException:
            self.rig.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.witness.close()
        self.road.close()
        self.rig.__exit__()

    def _start(self) -> None:
        rig = self.rig
        self.broker = rig.start_broker()
        self.road = Road(self.broker.port)
        rig.link_port = self.road.port
        from_s, to_s = MESSAGE_S
        self.beidou = rig.start_beidou(period_s=self.card_period_s, delay_s=(from_s * self.pace, to_s * self.pace))
        rig.start_province()
        slaves = rig.start_slaves(str(SLAVES_FILE))
        self.world = World(slaves)
        relay = rig.start_slaves(str(SIREN_FILE))
        self.siren = Siren(relay)
        self._site = SITE_FILE.read_text("utf-8").replace("@PORT@", slaves.address).replace("@SIREN@", relay.address)
        rig.write_site(self._site, batch=BATCH)
        self.witness = Witness(rig.socket)

    # -- waiting -------------------------------------------------------------------------------------------------

    def until(self, what: str, holds: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
        """Goes on until `holds()`; returns what it gave. Raises NotSoFar with `what` in words."""
        give_up_s = time.monotonic() + patience_s
        while not (found := holds()):
            if ended := self.rig.ended():
                raise NotSoFar(f"{' and '.join(ended)} ended by itself")
            if time.monotonic() > give_up_s:
                raise NotSoFar(f"not within {patience_s:.0f} s: {what}")
            self._turn()
        self._turn()
        return found

    def dwell(self, seconds: float) -> None:
        """Goes on for so long, at pace 1."""
        end_s = time.monotonic() + seconds * self.pace
        while time.monotonic() < end_s:
            self._turn()

    def go(self, rate: float, until_hours: float) -> None:
        """The water's time from now on, at pace 1."""
        self.world.go(rate / self.pace, until_hours)

    def _turn(self) -> None:
        self.world.tick()
        for item in self.witness.news():
            self._show(item)
        for change in self.siren.news():
            self._show_siren(change)
        self._show_arrivals()
        if time.monotonic() - self._status_s > STATUS_EVERY_S * self.pace and "pond-level" in self.witness.values:
            self._status_s = time.monotonic()
            self.screen.status(self.witness.values, self.rig.asked("status"))
        time.sleep(TURN_S)

    # -- showing -------------------------------------------------------------------------------------------------

    def _show(self, item: dict[str, Any]) -> None:
        if "alarm" in item:
            alarm = item["alarm"]
            before = self._levels.get(alarm["limit"], "none")
            self._levels[alarm["limit"]] = alarm["level"]
            eased = LEVELS.index(alarm["level"]) < LEVELS.index(before) and alarm["level"] != "none"
            text = alarm["text"].partition(": ")[2] + (f": eased from {before.upper()}" if eased else "")
            self.screen.alarm("gateway", alarm["level"], text)
        elif not item["event"]["about"].startswith("limit "):
            self.screen.line("gateway", f"{item['event']['about']}: {item['event']['text']}")

    def _show_siren(self, change: Change) -> None:
        """What the relay did; of a siren that has come on, how long after the newest red alarm."""
        if not change.on:
            self._silent_ms = change.at_ms
            self.screen.line("siren", "is silent: the relay has fallen")
            return
        red_ms = max((key[3] for key in self.witness.alarms if key[1] == "red"), default=0)
        words = "SOUNDS 鸣响 again, for what is left of its ten minutes"
        if red_ms > self._silent_ms:
            words = f"SOUNDS 鸣响, {took_words(change.at_ms - red_ms)} after the reading that is red"
        self.screen.line("siren", click.style(words, fg="red", bold=True))

    def _show_arrivals(self) -> None:
        for key, arrival in arrivals(self.rig).items():
            if key not in self._arrived:
                self._arrived.add(key)
                limit, level, _, at_ms = key
                self.screen.alarm("province", level, f"{limit}: {self._how(at_ms, arrival)}")

    def _how(self, at_ms: int, arrival: Arrival) -> str:
        """When and how an alarm came, in words."""
        took = took_words(arrival.at_ms - at_ms)
        mended_ms = self.moments.mended_ms
        if at_ms < mended_ms <= arrival.at_ms:
            back = took_words(arrival.at_ms - mended_ms)
            return f"raised in the dark {took} ago, here {back} after the fibre came back"
        if arrival.link == BEIDOU:
            size = f"one short message of {arrival.size_bytes} bytes ({CARD_BYTES} would fit)"
            return f"BY BEIDOU, here {took} after it was raised: {size}"
        return f"here {took} after it was raised"

    # -- what the story looks for --------------------------------------------------------------------------------

    def raised(self, limit: str, level: str, since_ms: int = 0) -> bool:
        """Whether the gateway has raised this (or, level none, cleared it)."""
        return any(key[:2] == (limit, level) and key[3] >= since_ms for key in self.witness.alarms)

    def at_province(self, limit: str, level: str) -> bool:
        number = LEVELS.index(level)
        return bool(self.rig.one("SELECT COUNT(*) FROM alarms WHERE limit_id = ? AND level = ?", limit, number))

    def link(self, name: str) -> dict[str, Any] | None:
        """What the gateway says of one of its links; None while it is dead."""
        links = self.rig.asked("links")
        return None if links is None else links[name]

    def signed(self) -> bool:
        """Whether the province's signature for every alarm has come down to the gateway by Beidou."""
        link = self.link("beidou")
        return link is not None and link["received"] > 0 and link["queue"]["alarms"] == 0

    def held(self) -> int:
        """Readings the gateway holds; a very large number while it is dead."""
        answer = self.rig.asked("outbox")
        return 1 << 60 if answer is None else int(answer["account"]["held"])

    # -- what the story does -------------------------------------------------------------------------------------

    def fengsui(self, verb: str) -> None:
        """A technician's command, and what it prints."""
        environment = {**os.environ, ENVIRONMENT: str(self.rig.socket), "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(
            [sys.executable, "-c", GATEWAY_SCRIPT, verb],
            capture_output=True,
            encoding="utf-8",
            timeout=COMMAND_S,
            env=environment,
            check=False,
        )
        if done.returncode:
            raise NotSoFar(f"fengsui {verb} ended with {done.returncode}: {done.stderr.strip()}")
        self.screen.output(f"fengsui {verb}", done.stdout)

    def kill_gateway(self) -> None:
        """kill -9, as a power cut would."""
        self.rig.kill("gateway")
        self.moments = self.moments._replace(killed_ms=_now_ms())

    def cut_fibre(self) -> None:
        self.moments = self.moments._replace(cut_ms=_now_ms())
        self.road.cut()

    def mend_fibre(self) -> None:
        self.moments = self.moments._replace(mended_ms=_now_ms())
        self.road.mend()

    def quieten(self) -> None:
        """Ends the gateway in order and starts it with a site file that reads everything once an hour."""
        self.rig.stop("gateway")
        site = self._site.replace('"1s"', '"1h"').replace('"10s"', '"1h"')
        site = site.replace('"2s"', '"1h"').replace('"4s"', '"3h"').replace('"30s"', '"3h"')
        self.rig.write_site(site, batch=BATCH)
        self.rig.start_gateway()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
