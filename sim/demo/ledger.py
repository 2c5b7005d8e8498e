"""The account at the end: three books that must agree, and what it means when they do not.

The gateway's book (`fengsui outbox`), the province's database, and the witness's: what was seen on the gateway's socket
as it was taken. `verdict` is pure; anything it finds is a sentence, and the demonstration then fails. A round that was
measured but not yet committed when the power went (commit_every, 1 s) is the one thing that may be missing: it is in no
book but the witness's, and it is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge.contract import Kind
from sim.demo.screen import took_words
from sim.demo.witness import AlarmKey, ReadingKey
from sim.rig import Rig

# A round closes up to its period (1 s) after its instant, or later while a device is silent, and is committed within
# commit_every (1 s).
UNCOMMITTED_MS = 3_000
SHOWN_MOST = 3


@dataclass(frozen=True)
class Ledger:
    """All three books. Readings unless a name says otherwise; times in UTC milliseconds.

    `stored` rows at the province, of which `keys` different (gateway, epoch, seq, point) and `instants` different
    (instant, point). `order`: kinds of the packets since the network came back, in the order of arrival.
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
    alarms: Mapping[AlarmKey, int]  # at the province -> received there at
    killed_at_ms: int = 0
    back_at_ms: int = 0
    order: Sequence[int] = ()
    expected: Sequence[str] = ()  # limits that must have gone red


@dataclass(frozen=True)
class Verdict:
    """`line`: the account in plain words. `problems`: empty when it balances. `notes`: what else is worth knowing."""

    line: str
    problems: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())


def collect(
    rig: Rig,
    seen: Mapping[ReadingKey, float | None],
    raised: Mapping[AlarmKey, str],
    killed_at_ms: int,
    back_at_ms: int,
    expected: Sequence[str],
) -> Ledger:
    """Reads the books of a rig whose gateway runs. Raises NoDaemon."""
    account = rig.account()
    stored, keys, instants = rig.province(
        "SELECT COUNT(*), (SELECT COUNT(*) FROM (SELECT DISTINCT gateway, epoch, seq, point FROM readings)), "
        "(SELECT COUNT(*) FROM (SELECT DISTINCT at_ms, point FROM readings)) FROM readings"
    )[0]
    rows = rig.province("SELECT limit_id, level, change, at_ms, received_at_ms FROM alarms")
    order = rig.province("SELECT kind FROM packets WHERE received_at_ms >= ? ORDER BY id", back_at_ms)
    return Ledger(
        *(account["taken"], account["settled"], account["held"], account["evicted"], stored, keys, instants),
        seen=dict(seen),
        arrived={
            (at_ms, point): value for at_ms, point, value in rig.province("SELECT at_ms, point, value FROM readings")
        },
        raised=frozenset(raised),
        alarms={(limit, LEVELS[level], change, at_ms): received for limit, level, change, at_ms, received in rows},
        killed_at_ms=killed_at_ms,
        back_at_ms=back_at_ms,
        order=[kind for (kind,) in order],
        expected=expected,
    )


LEVELS = ("none", "blue", "yellow", "orange", "red")


def verdict(ledger: Ledger) -> Verdict:
    """Compares the books."""
    unseen = [key for key in ledger.seen if key not in ledger.arrived]
    uncommitted = [key for key in unseen if 0 <= ledger.killed_at_ms - key[0] <= UNCOMMITTED_MS]
    lost = max(len(unseen) - len(uncommitted), ledger.settled - ledger.stored, 0)
    repeated = ledger.stored - min(ledger.keys, ledger.instants)
    problems = [*_sums(ledger, lost, repeated), *_values(ledger), *_alarms(ledger), *_order(ledger)]
    line = (
        f"taken {_number(ledger.taken)} = settled {_number(ledger.settled)}"
        f"{f' + held {_number(ledger.held)}' if ledger.held else ''}"
        f"{f' + evicted {_number(ledger.evicted)}' if ledger.evicted else ''}"
        f"; lost {_number(lost)}; repeated {_number(repeated)}; {_red_words(ledger)}"
    )
    return Verdict(line, tuple(problems), _notes(ledger, len(uncommitted)))


def _sums(ledger: Ledger, lost: int, repeated: int) -> list[str]:
    problems = []
    if ledger.taken != ledger.settled + ledger.held + ledger.evicted:
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
    red = {limit for limit, level, _, _ in ledger.alarms if level == "red"}
    problems += [f"no red alarm of {limit} reached the province" for limit in ledger.expected if limit not in red]
    return problems


def _order(ledger: Ledger) -> list[str]:
    first = next((kind for kind in ledger.order if kind in (Kind.ALARM, Kind.ROUNDS)), Kind.ALARM)
    if first != Kind.ALARM:
        return ["readings overtook the alarm when the network came back"]
    return []


def reds(ledger: Ledger) -> tuple[list[int], list[int]]:
    """How many ms red alarms took to the province: raised with a network, since then; without, since it was back."""
    direct: list[int] = []
    waited: list[int] = []
    for (_, level, _, at_ms), received_at_ms in ledger.alarms.items():
        if level == "red" and at_ms < ledger.back_at_ms <= received_at_ms:
            waited.append(received_at_ms - ledger.back_at_ms)
        elif level == "red":
            direct.append(received_at_ms - at_ms)
    return direct, waited


def _red_words(ledger: Ledger) -> str:
    direct, waited = reds(ledger)
    words = [f"in {took_words(max(direct))}"] if direct else []
    words += [f"{took_words(max(waited))} after the network came back"] if waited else []
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
