"""The account at the end: three books that must agree, and what it means when they do not.

The gateway's book (`fengsui outbox`), the province's database, and the witness's: what was seen on the gateway's socket
as it was taken. The province's book also tells by which link a packet came, and so which one was first with an alarm.
`verdict` is pure; anything it finds is a sentence, and the demonstration then fails. A round that was measured but not
yet committed when the power went (commit_every, 1 s) is the one thing that may be missing: it is in no book but the
witness's, and it is said. What a full store has folded is told by the summary that covers its instant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edge.contract import Kind
from sim.demo.screen import took_words
from sim.demo.witness import AlarmKey, ReadingKey
from sim.rig import Rig

# A round closes up to its period (1 s) after its instant, or later while a device is silent, and is committed within
# commit_every (1 s).
UNCOMMITTED_MS = 3_000
SHOWN_MOST = 3
LEVELS = ("none", "blue", "yellow", "orange", "red")
FIBRE, BEIDOU = "mqtt", "beidou"  # as the province's table of packets names them

# An alarm and the packet that brought it first are stored in one transaction, with one time.
ARRIVALS = """
SELECT limit_id, level, change, at_ms, received_at_ms, link, bytes FROM alarms JOIN (
    SELECT gateway, received_at_ms, link, bytes FROM packets WHERE kind IN (?, ?) AND entries > repeated)
USING (gateway, received_at_ms) ORDER BY received_at_ms, seq
"""
WINDOWS = "SELECT point, start_ms, start_ms + 1000 * window_s FROM summaries"


class Arrival(NamedTuple):
    """How an alarm first came to the province: when (UTC), by which link, in a packet of how many bytes."""

    at_ms: int
    link: str
    size_bytes: int


class Window(NamedTuple):
    """A summary's window at the province: of the instants from `start_ms` on, before `end_ms`, of one point."""

    point: str
    start_ms: int
    end_ms: int


class Moments(NamedTuple):
    """UTC milliseconds: the fibre was cut, the gateway killed, the fibre mended."""

    cut_ms: int = 0
    killed_ms: int = 0
    mended_ms: int = 0


@dataclass(frozen=True)
class Ledger:
    """All three books. Readings unless a name says otherwise; times in UTC milliseconds.

    `stored` rows at the province, of which `keys` different (gateway, epoch, seq, point) and `instants` different
    (instant, point). `order`: kinds of the packets by the fibre since it was mended, in the order of arrival.
    `over_rate`: requests that the Beidou terminal refused because the card's time had not come. `folded`: those for
    which summaries stand; `windows`: of the summaries at the province.
    """

    taken: int
    settled: int
    held: int
    evicted: int
    stored: int
    keys: int
    instants: int
    seen: Mapping[ReadingKey, float | None]
    arrived: Mapping[ReadingKey, float | None]
    raised: frozenset[AlarmKey]
    alarms: Mapping[AlarmKey, Arrival]
    moments: Moments
    order: Sequence[int] = ()
    over_rate: int = 0
    by_beidou: Sequence[str] = ()  # limits whose red alarm must have come by Beidou while the fibre was cut
    waited: Sequence[str] = ()  # limits whose red alarm must have waited for the fibre
    folded: int = 0
    windows: Sequence[Window] = ()


@dataclass(frozen=True)
class Verdict:
    """`line`: the account in plain words. `problems`: empty when it balances. `notes`: what else is worth knowing."""

    line: str
    problems: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())


def arrivals(rig: Rig) -> dict[AlarmKey, Arrival]:
    """Every alarm at the province, in the order of arrival."""
    rows = rig.province(ARRIVALS, Kind.ALARM, Kind.FRAGMENT)
    return {(limit, LEVELS[level], change, at_ms): Arrival(*how) for limit, level, change, at_ms, *how in rows}


def collect(
    rig: Rig,
    seen: Mapping[ReadingKey, float | None],
    raised: Mapping[AlarmKey, str],
    moments: Moments,
    by_beidou: Sequence[str],
    waited: Sequence[str],
) -> Ledger:
    """Reads the books of a rig with Beidou whose gateway runs. Raises NoDaemon, and RuntimeError without Beidou."""
    if rig.beidou is None:
        raise RuntimeError("no Beidou terminal was started")
    account = rig.account()
    stored, keys, instants = rig.province(
        "SELECT COUNT(*), (SELECT COUNT(*) FROM (SELECT DISTINCT gateway, epoch, seq, point FROM readings)), "
        "(SELECT COUNT(*) FROM (SELECT DISTINCT at_ms, point FROM readings)) FROM readings"
    )[0]
    order = rig.province(
        "SELECT kind FROM packets WHERE link = ? AND received_at_ms >= ? ORDER BY id", FIBRE, moments.mended_ms
    )
    return Ledger(
        *(account["taken"], account["settled"], account["held"], account["evicted"], stored, keys, instants),
        seen=dict(seen),
        arrived={
            (at_ms, point): value for at_ms, point, value in rig.province("SELECT at_ms, point, value FROM readings")
        },
        raised=frozenset(raised),
        alarms=arrivals(rig),
        moments=moments,
        order=[kind for (kind,) in order],
        over_rate=rig.beidou.counts("site")["over_rate"],
        by_beidou=by_beidou,
        waited=waited,
        folded=account["folded"],
        windows=[Window(*row) for row in rig.province(WINDOWS)],
    )


def verdict(ledger: Ledger) -> Verdict:
    """Compares the books."""
    unseen = [key for key in ledger.seen if key not in ledger.arrived and not _is_folded(ledger, key)]
    uncommitted = [key for key in unseen if 0 <= ledger.moments.killed_ms - key[0] <= UNCOMMITTED_MS]
    lost = max(len(unseen) - len(uncommitted), ledger.settled - ledger.stored, 0)
    repeated = ledger.stored - min(ledger.keys, ledger.instants)
    problems = [*_sums(ledger, lost, repeated), *_values(ledger), *_alarms(ledger), *_ways(ledger)]
    line = (
        f"taken {_number(ledger.taken)} = settled {_number(ledger.settled)}"
        f"{f' + held {_number(ledger.held)}' if ledger.held else ''}"
        f"{f' + folded {_number(ledger.folded)}' if ledger.folded else ''}"
        f"{f' + evicted {_number(ledger.evicted)}' if ledger.evicted else ''}"
        f"; lost {_number(lost)}; repeated {_number(repeated)}; {_red_words(ledger)}"
    )
    return Verdict(line, tuple(problems), _notes(ledger, len(uncommitted)))


def _is_folded(ledger: Ledger, key: ReadingKey) -> bool:
    """Whether a summary tells of a reading. One without a value is only counted."""
    at_ms, point = key
    if ledger.seen[key] is None:
        return ledger.folded > 0
    return any(window.point == point and window.start_ms <= at_ms < window.end_ms for window in ledger.windows)


def _sums(ledger: Ledger, lost: int, repeated: int) -> list[str]:
    problems = []
    if ledger.taken != ledger.settled + ledger.held + ledger.folded + ledger.evicted:
        problems.append("the gateway's own account does not balance")
    if ledger.held:
        problems.append(f"{_readings(ledger.held)} still held by the gateway")
    if ledger.evicted:
        problems.append(f"{_readings(ledger.evicted)} given up by the gateway")
    if lost:
        problems.append(f"{_readings(lost)} lost: taken by the gateway, not at the province")
    if ledger.stored > ledger.taken:
        problems.append(f"{_readings(ledger.stored - ledger.taken)} at the province that nobody took")
    if repeated:
        problems.append(f"{_readings(repeated)} at the province twice")
    if not ledger.seen:
        problems.append("the witness saw no reading, so nothing was proven")
    return problems


def _values(ledger: Ledger) -> list[str]:
    wrong = [key for key, value in ledger.seen.items() if key in ledger.arrived and ledger.arrived[key] != value]
    return [
        f"{point} at {at_ms} was {ledger.seen[at_ms, point]} and arrived as {ledger.arrived[at_ms, point]}"
        for at_ms, point in wrong[:SHOWN_MOST]
    ]


def _alarms(ledger: Ledger) -> list[str]:
    problems = [f"an alarm is lost: {_alarm_words(key)}" for key in sorted(ledger.raised - ledger.alarms.keys())]
    problems += [
        f"the province has an alarm nobody saw raised: {_alarm_words(key)}"
        for key in sorted(ledger.alarms.keys() - ledger.raised)
    ]
    return problems


def _ways(ledger: Ledger) -> list[str]:
    """What is wrong with the ways the red alarms took."""
    by_beidou, waited = reds(ledger)
    missed = [limit for limit in ledger.by_beidou if limit not in by_beidou]
    problems = [f"no red alarm of {limit} came by Beidou while the fibre was cut" for limit in missed]
    problems += [f"no red alarm of {limit} came by the mended fibre" for limit in ledger.waited if limit not in waited]
    if ledger.over_rate:
        problems.append(f"the Beidou terminal was asked too early for its card, {ledger.over_rate} times")
    first = next((kind for kind in ledger.order if kind in (Kind.ALARM, Kind.ROUNDS)), Kind.ALARM)
    if first != Kind.ALARM:
        problems.append("readings overtook the alarm when the fibre came back")
    return problems


def reds(ledger: Ledger) -> tuple[dict[str, int], dict[str, int]]:
    """Red alarms raised in the dark, by limit, in ms: after how long they came by Beidou, the fibre still cut; how long
    after the fibre was mended they came by that."""
    cut_ms, _, mended_ms = ledger.moments
    by_beidou: dict[str, int] = {}
    waited: dict[str, int] = {}
    for (limit, level, _, at_ms), arrival in ledger.alarms.items():
        if level != "red" or not cut_ms <= at_ms < mended_ms:
            continue
        if arrival.link == BEIDOU and arrival.at_ms < mended_ms:
            by_beidou[limit] = arrival.at_ms - at_ms
        elif arrival.link == FIBRE and arrival.at_ms >= mended_ms:
            waited[limit] = arrival.at_ms - mended_ms
    return by_beidou, waited


def _red_words(ledger: Ledger) -> str:
    by_beidou, waited = reds(ledger)
    words = [f"by Beidou in {took_words(max(by_beidou.values()))}"] if by_beidou else []
    words += [f"{took_words(max(waited.values()))} after the fibre came back"] if waited else []
    return f"red alarm at the province {', and '.join(words)}" if words else "no red alarm at the province"


def _notes(ledger: Ledger, uncommitted: int) -> tuple[str, ...]:
    checked = sum(key in ledger.arrived for key in ledger.seen)
    notes = [f"{_number(checked)} readings seen at the gateway as they were taken are at the province, value for value"]
    if uncommitted:
        notes.append(
            f"{uncommitted} readings of the last second before the power failed were not committed yet "
            "(commit_every = 1 s), so they count as not taken; alarms are committed at once"
        )
    return tuple(notes)


def _alarm_words(key: AlarmKey) -> str:
    limit, level, change, at_ms = key
    return f"{limit} {level} {change} at {at_ms}"


def _readings(count: int) -> str:
    return "1 reading is" if count == 1 else f"{_number(count)} readings are"


def _number(count: int) -> str:
    return f"{count:,}".replace(",", " ")
