"""The province's side of the wire, as a plain object: packets in, packets out, no network and no clock of its own.

Opens each packet with the gateway's key, removes repeats by (gateway, epoch, seq), stores all of a batch in one
commit, and only then gives the receipts out. A receipt names the whole run of entries received around those just
stored, so that one receipt makes good the loss of earlier ones. A packet whose sheet is not known is kept for a while
and its sheet asked for; it counts when the sheet has come. Bytes that are no genuine packet are counted, and said once
for each kind.
Never raises on what comes in; raises sqlite3.Error when its own disk fails, and is then as if the batch had not come.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from edge.contract import Alarm, Change, ClockQuality, Kind, Level, Quality, Rule
from edge.wire import packet as wire
from edge.wire.basics import WireError
from edge.wire.seal import (
    EPOCH_MASK,
    LONG,
    LONG_HEAD_BYTES,
    SHORT_HEAD_BYTES,
    SUITE_SM4,
    VERSION_BITS,
    VERSION_MASK,
    Direction,
    Noise,
    Opened,
    open_packet,
    parse_key_file,
    seal,
)
from edge.wire.sheet import Sheet, SheetPoint
from sim.province_store import Shown, Store, as_real

WAITING_PACKETS = 256  # for their sheet, of one gateway: 4 MB at 16 kB each
ASK_AGAIN_MS = 5_000  # for a sheet, of one gateway: one round trip by satellite and the sheet's own way, with room
NOISE_KINDS = 1_000  # told apart; the rest is counted together
GATEWAY_ID = re.compile(r"[a-z0-9._-]{1,40}")  # as in a site file; also keeps a topic from naming a path

LAST_DATE_MS = 253_402_300_799_999  # 9999-12-31, the last day of datetime
SMALLEST_STEP = Decimal("1e-30")  # what no instrument has, and no arithmetic here overflows on

KeyOf = Callable[[str], bytes | None]


class KeyFolder:
    """Root keys by gateway id: `<id>.key` in a folder, looked up when first needed, or one file for all gateways."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, bytes] = {}

    def __call__(self, gateway: str) -> bytes | None:
        if gateway not in self._known and GATEWAY_ID.fullmatch(gateway):
            path = self._path / f"{gateway}.key" if self._path.is_dir() else self._path
            try:
                self._known[gateway] = parse_key_file(path.read_text("utf-8"))
            except (OSError, ValueError):  # WireError and UnicodeDecodeError are ValueErrors
                return None
        return self._known.get(gateway)


class Seqs:
    """The seqs received of one epoch, as closed ranges that never touch."""

    def __init__(self) -> None:
        self.low: list[int] = []
        self.high: list[int] = []

    def __contains__(self, seq: int) -> bool:
        place = bisect_left(self.high, seq)
        return place < len(self.low) and self.low[place] <= seq

    def add(self, low: int, high: int) -> None:
        """Takes in low..high, joining what it touches."""
        first, last = bisect_left(self.high, low - 1), bisect_right(self.low, high + 1)
        if first < last:
            low, high = min(low, self.low[first]), max(high, self.high[last - 1])
        self.low[first:last], self.high[first:last] = [low], [high]

    def around(self, seqs: Iterable[int]) -> list[tuple[int, int]]:
        """The ranges that hold `seqs`, ascending."""
        places = sorted({bisect_left(self.high, seq) for seq in seqs})
        return [(self.low[place], self.high[place]) for place in places]


@dataclass
class Site:
    """What is known of one gateway. `epochs`: epoch -> highest uplink counter; sheets newest first."""

    sheets: deque[Sheet] = field(default_factory=deque)
    epochs: dict[int, int] = field(default_factory=dict)
    seqs: dict[int, Seqs] = field(default_factory=dict)
    waiting: deque[bytes] = field(default_factory=lambda: deque(maxlen=WAITING_PACKETS))
    asked_at_ms: int = -ASK_AGAIN_MS

    def may_ask(self, now_ms: int) -> bool:
        """Whether to ask for a sheet now. What names it is not proven genuine, so there is one allowance for all."""
        if 0 <= now_ms - self.asked_at_ms < ASK_AGAIN_MS:
            return False
        self.asked_at_ms = now_ms
        return True


class Province:
    """`counts`: packets, entries, repeated, noise, asked, waiting. `noise`: (gateway, kind of noise) -> how often."""

    def __init__(
        self, db: Path | str, key_of: KeyOf, say: Callable[[str], None] = lambda _line: None, *, durable: bool = True
    ) -> None:
        self._store = Store(db, durable=durable)
        self._key_of = key_of
        self._say = say
        self._lines: list[str] = []
        self._sites: dict[str, Site] = {}
        self.counts: Counter[str] = Counter()
        self.noise: Counter[tuple[str, str]] = Counter()
        self._load()

    def close(self) -> None:
        """Closes the database."""
        self._store.close()

    def receive(self, gateway: str, packet: bytes, now_ms: int) -> list[bytes]:
        """One uplink packet, stored when this returns; gives the downlink packets for the same gateway."""
        return [answer for _, answer in self.receive_batch([(gateway, packet)], now_ms)]

    def receive_batch(self, arrivals: Sequence[tuple[str, bytes]], now_ms: int) -> list[tuple[str, bytes]]:
        """Uplink packets (gateway id, bytes), stored in one commit when this returns; gives the downlink packets."""
        self._lines.clear()
        self._store.begin()
        try:
            answers = [(name, answer) for name, packet in arrivals for answer in self._take(name, packet, now_ms)]
            self._store.commit()
        except BaseException:
            self._store.rollback()
            self._load()
            raise
        for line in self._lines:
            self._say(line)
        return answers

    def _load(self) -> None:
        self._sites.clear()
        for gateway, sheet in self._store.sheets():
            self._site(gateway).sheets.appendleft(sheet)
        for gateway, epoch, counter in self._store.epochs():
            self._site(gateway).epochs[epoch] = counter
        for gateway, epoch, low, high in self._store.islands():
            self._site(gateway).seqs.setdefault(epoch, Seqs()).add(low, high)

    def _site(self, gateway: str) -> Site:
        return self._sites.setdefault(gateway, Site())

    def _take(self, gateway: str, packet: bytes, now_ms: int) -> list[bytes]:
        root = self._key_of(gateway)
        if root is None:
            self._noise("?", f"no key for gateway {gateway[:40]!r}", kind="no key for a gateway")
            return []
        site = self._site(gateway)
        opened = open_packet(packet, root, gateway, Direction.UP, site.epochs, site.sheets)
        if isinstance(opened, Noise):
            return self._unopened(gateway, site, root, opened, now_ms)
        try:
            body = wire.decode(opened.body, opened.sheet)
            seqs = self._keep(gateway, site, opened, body, len(packet), now_ms)
        except WireError as error:
            self._noise(gateway, f"a genuine packet that cannot be read: {error}")
            return []
        answers = [self._receipt(gateway, site, root, opened, seqs, now_ms)]
        if isinstance(body, wire.SheetPacket):
            waiting = list(site.waiting)
            site.waiting.clear()
            answers += [answer for held in waiting for answer in self._take(gateway, held, now_ms)]
        return answers

    def _unopened(self, gateway: str, site: Site, root: bytes, noise: Noise, now_ms: int) -> list[bytes]:
        """Asks for the sheet if that may be what is missing: also when one fits, as two can share their short byte."""
        if noise.sheet_short is None:
            self._noise(gateway, noise.why)
        else:
            self.counts["waiting"] += 1
            site.waiting.append(noise.raw)
        epoch, short = _named(noise.raw, site)
        if epoch is None or not short or not site.may_ask(now_ms):
            return []
        self.counts["asked"] += 1
        self._lines.append(f"{gateway}: packet names a sheet not known here (0x{short:02x}), asked for it")
        return [self._seal(gateway, root, epoch, wire.encode_receipt(None, [], now_ms, need_sheets=[short]), now_ms)]

    def _receipt(self, gateway: str, site: Site, root: bytes, opened: Opened, seqs: list[int], now_ms: int) -> bytes:
        epoch = _entry_epoch(opened)
        named = None if epoch == opened.epoch else epoch
        ranges = site.seqs[epoch].around(seqs)
        body = wire.encode_receipt(named, ranges, now_ms, echo=opened.counter)
        return self._seal(gateway, root, opened.epoch, body, now_ms)

    def _seal(self, gateway: str, root: bytes, epoch: int, body: bytes, now_ms: int) -> bytes:
        counter = self._store.take_counter(gateway, epoch, now_ms)
        return seal(root, gateway, epoch, Direction.DOWN, counter, None, body, long=True)

    def _keep(self, gateway: str, site: Site, opened: Opened, body: wire.Body, size: int, now_ms: int) -> list[int]:
        """Stores what is new of a body; returns all its seqs. Raises WireError for a body no gateway sends."""
        kind, seqs = _entries(body, gateway)
        epoch = _entry_epoch(opened)
        received = site.seqs.setdefault(epoch, Seqs())
        new = sorted({seq for seq in seqs if seq not in received})
        repeated = len(seqs) - len(new)
        self._store.add_entries(gateway, epoch, new, kind, now_ms)
        self._store_body((gateway, epoch), opened.sheet, body, set(new), now_ms)
        self._store.add_packet(gateway, opened.epoch, opened.counter, kind, size, now_ms, len(seqs), repeated)
        for seq in new:
            received.add(seq, seq)
        if isinstance(body, wire.SheetPacket) and body.sheet not in site.sheets:
            site.sheets.appendleft(body.sheet)
        site.epochs[opened.epoch] = max(opened.counter, site.epochs.get(opened.epoch, -1))
        self.counts.update(packets=1, entries=len(new), repeated=repeated)
        if new or kind != Kind.ALARM:
            self._lines.append(
                f"{gateway}: {_describe(body)}, {size} B" + (f", {repeated} repeated" if repeated else "")
            )
        return seqs

    def _store_body(
        self, key: tuple[str, int], sheet: Sheet | None, body: wire.Body, new: set[int], now_ms: int
    ) -> None:
        if isinstance(body, wire.Rounds) and sheet is not None:
            self._store.add_readings(_readings(key, sheet, body, new, now_ms))
        elif isinstance(body, wire.Alarms):
            for seq, alarm in dict(body.alarms).items():
                if seq in new:
                    shown = _shown(alarm, sheet)
                    words = alarm_words(alarm, shown, _limit_name(alarm, sheet))
                    self._store.add_alarm((*key, seq), alarm, shown, words, now_ms)
                    self._lines.append(f"{key[0]}: ALARM {words}")
        elif isinstance(body, wire.Status | wire.Account) and new:
            table = "statuses" if isinstance(body, wire.Status) else "accounts"
            self._store.add_map(table, (*key, body.seq), body.at_ms, body.clock, body.values, now_ms)
        elif isinstance(body, wire.SheetPacket):
            self._store.add_sheet(*key, body.sheet, now_ms)

    def _noise(self, gateway: str, why: str, *, kind: str = "") -> None:
        self.counts["noise"] += 1
        key = (gateway, kind or re.sub(r"(0x)?[0-9a-f]*\d[0-9a-f]*", "#", why))
        if key not in self.noise:
            if len(self.noise) >= NOISE_KINDS:
                key = ("?", "other noise")
            self._lines.append(f"{gateway}: not counted: {why} (said once)")
        self.noise[key] += 1


def _named(raw: bytes, site: Site) -> tuple[int | None, int]:
    """(epoch, short byte of its sheet) as the clear head of an unopened packet says; None, 0 where it does not."""
    if len(raw) < LONG_HEAD_BYTES or raw[0] & (VERSION_MASK | SUITE_SM4) != VERSION_BITS:
        return None, 0
    if raw[0] & LONG:
        return int.from_bytes(raw[1:5], "big"), raw[LONG_HEAD_BYTES - 1]
    fitting = [epoch for epoch in site.epochs if not (epoch ^ raw[0]) & EPOCH_MASK]
    return (fitting[-1] if fitting else None), raw[SHORT_HEAD_BYTES - 1]


def _entry_epoch(opened: Opened) -> int:
    """The epoch whose seqs a packet's entries carry: its sheet's, where it names one. A gateway also sends what it has
    taken over from another store of its own, sealed under its present epoch."""
    return opened.epoch if opened.sheet is None else opened.sheet.epoch


def _entries(body: wire.Body, gateway: str) -> tuple[Kind, list[int]]:
    if isinstance(body, wire.Rounds):
        return Kind.ROUNDS, [row.seq for row in body.rows]
    if isinstance(body, wire.Alarms):
        return Kind.ALARM, [seq for seq, _ in body.alarms]
    if isinstance(body, wire.Status):
        return Kind.STATUS, [body.seq]
    if isinstance(body, wire.Account):
        return Kind.ACCOUNT, [body.seq]
    if isinstance(body, wire.SheetPacket):
        _check_sheet(body.sheet, gateway)
        return Kind.SHEET, [body.seq]
    raise WireError("a receipt, which only the province writes")


def _check_sheet(sheet: Sheet, gateway: str) -> None:
    if sheet.gateway != gateway:
        raise WireError(f"a sheet of {sheet.gateway[:40]!r}")
    for point in (point for group in sheet.groups for point in group.points):
        if not SMALLEST_STEP <= point.step <= 1 / SMALLEST_STEP:
            raise WireError(f"a sheet whose point {point.id[:40]!r} has a step of {str(point.step)[:40]}")


def _readings(
    key: tuple[str, int], sheet: Sheet, rounds: wire.Rounds, new: set[int], now_ms: int
) -> Iterable[tuple[Any, ...]]:
    points = sheet.groups[rounds.group].points
    for row in rounds.rows:
        if row.seq not in new:
            continue
        new.discard(row.seq)  # a packet that holds a seq twice stores the first
        qualities = row.qualities or bytes([Quality.GOOD]) * len(points)
        for point, steps, quality in zip(points, row.values, qualities, strict=True):
            value = None if steps is None else as_real(steps * point.step)
            yield (*key, row.seq, row.at_ms, point.id, value, steps, quality, row.clock, now_ms)


def _point(name: str, sheet: Sheet | None) -> SheetPoint | None:
    groups = sheet.groups if sheet else ()
    return next((point for group in groups for point in group.points if point.id == name), None)


def _shown(alarm: Alarm, sheet: Sheet | None) -> Shown:
    """Value, threshold and unit as a person reads them; in steps when the sheet does not know the point."""
    if alarm.rule == Rule.STALE:
        return None, Decimal(alarm.threshold), "s"
    point = _point(alarm.point, sheet)
    step, unit = (point.step, point.unit) if point else (Decimal(1), "steps")
    return None if alarm.value is None else alarm.value * step, alarm.threshold * step, unit


def _limit_name(alarm: Alarm, sheet: Sheet | None) -> str:
    return next((limit.name for limit in (sheet.limits if sheet else ()) if limit.id == alarm.limit), "")


def alarm_words(alarm: Alarm, shown: Shown, name: str) -> str:
    """An alarm in full words, for the duty officer's screen."""
    value, threshold, unit = shown
    if alarm.rule == Rule.STALE:
        why = f"no good value for {threshold} s"
    else:
        side = "above" if alarm.rule == Rule.ABOVE else "below"
        why = f"{'-' if value is None else value} {unit}, limit {side} {threshold} {unit}"
    level = "cleared" if alarm.change == Change.CLEARED else f"{Level(alarm.level).name} {alarm.change.name.lower()}"
    clock = "" if alarm.clock == ClockQuality.TRUSTED else f" (clock {alarm.clock.name.lower()})"
    return f"{level}: {name or alarm.limit} ({alarm.limit}, point {alarm.point}): {why}, at {_utc(alarm.at_ms)}{clock}"


def _utc(at_ms: int) -> str:
    if at_ms > LAST_DATE_MS:
        return f"{at_ms} ms"  # a clock gone mad; no calendar goes there
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _describe(body: wire.Body) -> str:
    if isinstance(body, wire.Rounds):
        return f"{len(body.rows)} rounds of group {body.group}"
    if isinstance(body, wire.Alarms):
        return f"{len(body.alarms)} alarm(s)"
    if isinstance(body, wire.SheetPacket):
        return f"sheet 0x{body.sheet.short:02x}"
    return type(body).__name__.lower()
