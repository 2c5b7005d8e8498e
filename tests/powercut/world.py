"""The whole daemon under load in virtual time: recorded once, then started again on whatever a cut has left.

    python -m tests.powercut.world FOLDER

Real are the daemon with all its parts, its store on a real disk, its packets, and the province's core. The sensors and
the network are a few lines here. The recorded run tells what was committed, which packets left and which of them were
answered, so that at any cut it is known what must not be lost and what the province may have.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cbor2

from edge import outbox as outbox_module
from edge.clock import BUILT_MS, Clock
from edge.config import load
from edge.contract import Kind, LinkState, Reading, Sent
from edge.daemon import Daemon
from edge.errors import LinkLost
from edge.outbox import Outbox
from sim.province import Province
from sim.virtual import run

GATEWAY = "g-1"
ROOT_KEY = bytes.fromhex("5a" * 32)
START_MS = BUILT_MS + 86_400_000
RUN_S = 70.0
CUTS_S = ((12.0, 30.0), (45.0, 52.0))  # while the network is gone
HOT_S = ((8.0, 11.0), (20.0, 25.0), (47.0, 60.0))  # while the first limit is passed
DARK_S = 30.0  # from the power cut until the power is back
AGAIN_S = 25.0  # how long the daemon that was started again is watched
TRIP_S = 0.05
POINTS = 20
FAST_POINTS = 5
WRAP_PAGES = 40
HOT, LATER = "hot", "later"  # points; the second passes its limit only after the power is back
OVER = 900
NEVER_SAID = ("fault of ours", "older copy", "could not be read", "kept in memory")


SITE = """
[gateway]
id = "{gateway}"
key = "key"
socket = "{socket}"
[store]
path = "store"
commit_every = "1s"
[[link]]
id = "fibre"
driver = "mqtt"
host = "127.0.0.1"
port = 1
batch = "2s"
[[port]]
id = "bus"
open = "tcp:127.0.0.1:1"
[[device]]
id = "d"
driver = "modbus"
port = "bus"
{points}
{limits}
"""


def site_text(socket: Path) -> str:
    """A site of POINTS points each second, a few faster ones, and two limits."""
    names = {HOT: "200ms", LATER: "200ms"}
    names |= {f"slow{i}": "1s" for i in range(POINTS)} | {f"fast{i}": "200ms" for i in range(FAST_POINTS)}
    points = "".join(
        f'[[device.point]]\nid = "{name}"\nunit = "mm"\nstep = 1\nevery = "{every}"\nregister = {register}\n'
        for register, (name, every) in enumerate(names.items())
    )
    limits = "".join(f'[[limit]]\nid = "{p}.high"\npoint = "{p}"\nabove = {{ red = 500 }}\n' for p in (HOT, LATER))
    return SITE.format(gateway=GATEWAY, socket=socket, points=points, limits=limits)


class Field:
    """Every sensor of the site."""

    def __init__(self, is_hot: Callable[[str], bool], now_ms: Callable[[], float]) -> None:
        self._is_hot = is_hot
        self._now_ms = now_ms

    async def read(self, points: Sequence[str]) -> list[Reading]:
        await asyncio.sleep(0.01)
        tick = int(self._now_ms()) // 100
        values = [(tick + len(point) * place) % 97 for place, point in enumerate(points)]
        return [Reading(p, value + OVER * self._is_hot(p)) for p, value in zip(points, values, strict=True)]

    def health(self) -> Mapping[str, Any]:
        return {}


class Way:
    """A link to a province in the same process. `told` hears of each packet that leaves, and of each answered one."""

    window = 8

    def __init__(
        self, province: Province, start_ms: float, is_up: Callable[[], bool], told: Callable[..., None]
    ) -> None:
        self._province = province
        self._start_ms = start_ms
        self._is_up = is_up
        self._told = told
        self._up = False
        self._sent = 0
        self._receive: Callable[[bytes], None] = lambda _packet: None

    def state(self) -> LinkState:
        return LinkState(self._up, "" if self._up else "cut", 4096)

    async def run(self, receive: Callable[[bytes], None], changed: Callable[[], None]) -> None:
        self._receive = receive
        try:
            while self._is_up():
                if not self._up:
                    self._up = True
                    changed()
                await asyncio.sleep(0.1)
            raise LinkLost("fibre", "cut")
        finally:
            self._up = False

    async def send(self, packet: bytes) -> Sent:
        number = self._sent
        self._sent += 1
        self._told(sent=number, packet=packet.hex())
        await asyncio.sleep(TRIP_S)
        if not self._is_up():
            return Sent.UNKNOWN
        now_ms = round(self._start_ms + asyncio.get_running_loop().time() * 1000)
        answers = self._province.receive(GATEWAY, packet, now_ms)
        asyncio.get_running_loop().call_later(TRIP_S, partial(self._answer, number, answers))
        return Sent.SENT

    def _answer(self, number: int, answers: Sequence[bytes]) -> None:
        if self._is_up():
            self._told(answered=number)
            for answer in answers:
                self._receive(answer)

    def health(self) -> Mapping[str, Any]:
        return {}


async def _at_once(work: Callable[[], Any]) -> Any:
    return work()


def _within(spans: Sequence[tuple[float, float]]) -> bool:
    now_s = asyncio.get_running_loop().time()
    return any(low <= now_s < high for low, high in spans)


def daemon_on(
    folder: Path, socket: Path, start_ms: float, way: Way, is_hot: Callable[[str], bool], boot: int
) -> Daemon:
    """The daemon of the site in `folder`, to be run in a running virtual loop."""
    (folder / "site.toml").write_text(site_text(socket))
    (folder / "key").write_text(ROOT_KEY.hex() + "\n")
    loop = asyncio.get_running_loop()

    def now_ms() -> float:
        return start_ms + loop.time() * 1000

    clock = Clock(lambda: int(now_ms()), loop.time, lambda: True, boot)
    run_blocking: Callable[[Callable[[], Any]], Awaitable[Any]] = _at_once
    site = load(folder / "site.toml")
    return Daemon(site, {"d": Field(is_hot, now_ms)}, {"fibre": (way, 2.0)}, clock, run_blocking, "test")


async def _run_for(daemon: Daemon, duration_s: float) -> None:
    task = asyncio.ensure_future(daemon.run())
    await asyncio.wait({task}, timeout=duration_s)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


# -- the recorded run ------------------------------------------------------------------------------------------------


def tell(**words: object) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


def main() -> None:
    folder = Path(sys.argv[1])
    outbox_module.WAL_AUTOCHECKPOINT_PAGES = WRAP_PAGES
    commit = Outbox.commit

    def commit_and_tell(self: Outbox, entries: Any, *more: Any, **others: Any) -> Any:
        done = commit(self, entries, *more, **others)
        tell(committed=[[int(it.kind), it.group, it.at_ms, it.body.hex()] for it in entries])
        return done

    Outbox.commit = commit_and_tell  # type: ignore[method-assign]
    key_of = {GATEWAY: ROOT_KEY}.get
    province = Province(":memory:", key_of, durable=False)

    async def story() -> None:
        way = Way(province, START_MS, lambda: not _within(CUTS_S), tell)
        hot = lambda point: point == HOT and _within(HOT_S)  # noqa: E731
        await _run_for(daemon_on(folder, folder.parent / "socket", START_MS, way, hot, 1), RUN_S)

    run(story())


# -- after the cut ---------------------------------------------------------------------------------------------------


@dataclass
class Past:
    """What had been told by the moment of the cut."""

    rounds: dict[tuple[int, int], tuple[list[int | None], bytes]] = field(default_factory=dict)  # (group, at_ms)
    alarms: list[tuple[int, str, int]] = field(default_factory=list)  # (at_ms, limit, change)
    sent: dict[int, bytes] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, told: Sequence[bytes]) -> Past:
        past = cls()
        for words in map(json.loads, told):
            if "sent" in words:
                past.sent[words["sent"]] = bytes.fromhex(words["packet"])
            elif "answered" in words:
                past.answered.add(words["answered"])
            for kind, group, at_ms, body in words.get("committed", ()):
                if kind == Kind.ROUNDS:
                    past.rounds[group, at_ms] = tuple(cbor2.loads(bytes.fromhex(body)))
                elif kind == Kind.ALARM:
                    limit, _, _, change, *_ = cbor2.loads(bytes.fromhex(body))
                    past.alarms.append((at_ms, limit, change))
        return past


class Again(NamedTuple):
    """What the daemon that was started again has done."""

    problems: list[str]
    alarm_s: float
    took_s: float


def start_again(folder: Path, database: Path, past: Past, chance: random.Random) -> Again:
    """Starts the daemon on what a cut has left in `folder`; the province has what was answered, and by chance more."""
    began_s = time.monotonic()
    start_ms = START_MS + (RUN_S + DARK_S) * 1000
    province = Province(database, {GATEWAY: ROOT_KEY}.get, durable=False)
    for number, packet in past.sent.items():
        if number in past.answered or chance.random() < 0.5:
            province.receive(GATEWAY, packet, START_MS)
    (folder / "store").mkdir(exist_ok=True)

    async def story() -> tuple[list[list[str]], list[str]]:
        way = Way(province, start_ms, lambda: True, lambda **_words: None)
        daemon = daemon_on(folder, folder / "socket", start_ms, way, lambda point: point == LATER, 2)
        await _run_for(daemon, AGAIN_S)
        names = [[point.id for point in points] for points in daemon.site.groups.values()]
        said = [f"{event['about']}: {event['text']}" for event in daemon.journal.events]
        return names, [text for text in said if any(word in text for word in NEVER_SAID)]

    names, said = run(story())
    province.close()
    with contextlib.closing(sqlite3.connect(database)) as db:
        problems = [*said, *_lost(db, past, names), *_repeated(db)]
        row = db.execute("SELECT MIN(received_at_ms) FROM alarms WHERE point = ?", (LATER,)).fetchone()
    alarm_s = (row[0] - start_ms) / 1000 if row[0] is not None else float("inf")
    return Again(problems, alarm_s, time.monotonic() - began_s)


def _lost(db: sqlite3.Connection, past: Past, names: list[list[str]]) -> list[str]:
    """Committed readings and alarms that have not come to the province, or not as they were."""
    there = {(at_ms, point): steps for at_ms, point, steps in db.execute("SELECT at_ms, point, steps FROM readings")}
    missing = [
        (at_ms, point)
        for (group, at_ms), (values, _) in past.rounds.items()
        for point, steps in zip(names[group], values, strict=True)
        if there.get((at_ms, point), "nothing") != steps
    ]
    changes = ("raised", "changed", "cleared")
    alarms = set(db.execute("SELECT at_ms, limit_id, change FROM alarms"))
    silent = [it for it in past.alarms if (it[0], it[1], changes[it[2]]) not in alarms]
    problems = [f"{len(missing)} committed readings are lost: {missing[:3]}"] if missing else []
    return problems + ([f"alarms are lost: {silent[:3]}"] if silent else [])


def _repeated(db: sqlite3.Connection) -> list[str]:
    count = db.execute("SELECT COUNT(*) - COUNT(DISTINCT at_ms || '/' || point) FROM readings").fetchone()[0]
    return [f"{count} readings stand twice at the province"] if count else []


if __name__ == "__main__":
    main()
