"""The province's side of the wire, as a plain object: packets in, packets out, no network and no clock of its own.

Opens each packet with the gateway's key, removes repeats by (gateway, epoch, seq), stores all of a batch in one
commit, and only then gives the receipts out. A receipt names the whole run of entries received around those just
stored, so that one receipt makes good the loss of earlier ones. A packet whose sheet is not known is kept for a while
and its sheet asked for; it counts when the sheet has come. Fragments are gathered until their parcel is whole; then its
body counts as if it had come in one packet. Bytes that are no genuine packet are counted, and said once for each kind.

A wide link answers every packet (`receive_batch`). A narrow one stores (`store_narrow`) and answers many packets with
one when its side of the house sees fit (`receipt`): what is owed is remembered until it was said, and said again a few
times, as nobody knows whether a receipt arrived.

Never raises on what comes in; raises sqlite3.Error when its own disk fails, and is then as if the batch had not come
(and the pieces of parcels and the receipts owed are forgotten: gateways send again what has no receipt).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edge.contract import Kind
from edge.wire import packet as wire
from edge.wire.basics import WireError
from edge.wire.receipt import ANY_SHEET, MAX_BITMAP_BYTES, decode_receipt
from edge.wire.seal import (
    LONG_OVERHEAD_BYTES,
    Direction,
    Noise,
    Opened,
    open_packet,
    seal,
)
from sim.province_bodies import (
    describe,
    entries_of,
    entry_epoch,
)
from sim.province_keep import Sheets, store_body
from sim.province_keys import KeyFolder, KeyOf, named_in_clear
from sim.province_site import (
    ASK_AGAIN_MS,
    ASK_NARROW_AGAIN_MS,
    Asked,
    Owed,
    Parcel,
    ParcelKey,
    Seqs,
    Site,
    Took,
)
from sim.province_store import Store

__all__ = ["ASK_AGAIN_MS", "KeyFolder", "Province", "Stored"]

NOISE_KINDS = 1_000  # told apart; the rest is counted together
AT_ONCE = frozenset({Kind.ALARM, Kind.TEST, Kind.SHEET})  # somebody waits for the answer; without a sheet, all waits


@dataclass(frozen=True, slots=True)
class Stored:
    """A packet of a narrow link is on the disk. `urgent`: its gateway is to be answered at once (an alarm, a test, a
    parcel ended while no sheet of its epoch is known, a sheet is missing). `waiting`: packets no receipt covers yet."""

    urgent: bool
    waiting: int


@dataclass(frozen=True, slots=True)
class _Way:
    """When and on which link packets came, and how soon a sheet may be asked for again there."""

    now_ms: int
    link: str | None
    ask_again_ms: int = ASK_AGAIN_MS


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
        self._since = 0
        self.counts: Counter[str] = Counter()
        self.noise: Counter[tuple[str, str]] = Counter()
        self._load()

    def close(self) -> None:
        """Closes the database."""
        self._store.close()

    # -- wide links ----------------------------------------------------------------------------------------------------

    def receive(self, gateway: str, packet: bytes, now_ms: int, link: str | None = None) -> list[bytes]:
        """One uplink packet, stored when this returns; gives the downlink packets for the same gateway."""
        return [answer for _, answer in self.receive_batch([(gateway, packet)], now_ms, link)]

    def receive_batch(
        self, arrivals: Sequence[tuple[str, bytes]], now_ms: int, link: str | None = None
    ) -> list[tuple[str, bytes]]:
        """Uplink packets (gateway id, bytes), stored in one commit when this returns; gives the downlink packets."""
        way = _Way(now_ms, link)
        with self._transaction():
            return [
                (gateway, self._answer(gateway, found, now_ms))
                for gateway, packet in arrivals
                for found in self._take(gateway, packet, way)
            ]

    def _answer(self, gateway: str, found: Took | Asked, now_ms: int) -> bytes:
        if isinstance(found, Asked):
            body = wire.encode_receipt(None, [], now_ms, need_sheets=[found.short])
        else:
            named = None if found.epoch == found.sealed else found.epoch
            received = self._site(gateway).received(found.epoch)
            ranges = received.around([*found.seqs, *(received.high[-1:] if found.kind is Kind.TEST else [])])
            body = wire.encode_receipt(named, ranges, now_ms, echo=found.counter)
        return self._seal(gateway, found.sealed, body, now_ms)

    # -- narrow links --------------------------------------------------------------------------------------------------

    def store_narrow(self, gateway: str, packet: bytes, now_ms: int, link: str | None = None) -> Stored | None:
        """One uplink packet, stored when this returns; None for what can not be read (now). What comes a second time
        asks for no answer: a gateway that sends something again does so in a packet with a counter of its own."""
        with self._transaction():
            found = self._take(gateway, packet, _Way(now_ms, link, ASK_NARROW_AGAIN_MS))
            fresh = [it for it in found if self._is_fresh(gateway, it)]
        if not found:
            return None
        site = self._site(gateway)
        for it in fresh:
            owed = site.owes(it.sealed)
            if isinstance(it, Asked):
                owed.asked(it.short)
            else:
                owed.took(it, now_ms)
                newest = site.received(it.sealed).high[-1:] if it.kind is Kind.TEST else []
                for seq in newest:  # a gateway that has just begun asks what is known of it
                    owed.new.setdefault(it.sealed, Seqs()).add(seq, seq)
        urgent = any(isinstance(it, Asked) or it.ended or it.kind in AT_ONCE for it in fresh)
        return Stored(urgent, sum(owed.waiting for owed in site.owed.values()))

    def _is_fresh(self, gateway: str, it: Took | Asked) -> bool:
        """Whether it is to be answered. A TEST always is: a gateway on an older copy of its store uses counters again,
        and this is how it finds out."""
        if isinstance(it, Asked) or it.kind is Kind.TEST:
            return True
        return self._store.times(gateway, it.sealed, it.counter) == 1

    def receipt(self, gateway: str, now_ms: int, room_bytes: int) -> bytes | None:
        """One downlink packet of at most `room_bytes` that answers all that came over a narrow link since the last one;
        None when there is nothing to say (or no room to say it in).

        It echoes the last packet, says which of the 256 before have arrived as far as there is room (32 at least), and
        names the ranges of entries around what is new and around what the last few receipts were about, so that one
        that is lost does no harm. What does not fit stays owed, and counts in `Stored.waiting`.
        """
        site = self._site(gateway)
        epoch = site.owing()
        if epoch is None:
            return None
        owed = site.owed[epoch]
        of = epoch if epoch in owed.new else next(iter(owed.new), epoch)
        body = self._owed_body((gateway, epoch, of), owed, now_ms, room_bytes - LONG_OVERHEAD_BYTES)
        said = decode_receipt(body)
        if len(body) > room_bytes - LONG_OVERHEAD_BYTES or (of in owed.new and not said.ranges):
            return None
        with self._transaction():
            packet = self._seal(gateway, epoch, body, now_ms)
        owed.close(of, said)
        return packet

    def _owed_body(self, key: tuple[str, int, int], owed: Owed, now_ms: int, room_bytes: int) -> bytes:
        """`key`: gateway, epoch of the packets, epoch of the entries."""
        gateway, epoch, of = key
        site = self._site(gateway)
        lowest = max((owed.echo or 0) - 8 * MAX_BITMAP_BYTES, 0)
        arrived = self._store.arrived(gateway, epoch, lowest, owed.echo or 0, self._since)
        arrived -= {counter for sealed, counter in site.parcels.lost if sealed == epoch}
        new = owed.new.get(of, Seqs()).low
        body = b""
        for seqs in ([*new, *owed.open(of)], new):  # what is new has the right of way
            body = wire.encode_receipt(
                None if of == epoch else of,
                site.received(of).around(seqs),
                now_ms,
                echo=owed.echo,
                held_ms=now_ms - owed.echo_at_ms,
                arrived=arrived,
                lowest=lowest,
                need_sheets=owed.needs or ([] if site.knows(epoch) else [ANY_SHEET]),
                room_bytes=room_bytes,
            )
            if set(site.received(of).around(new)) <= set(decode_receipt(body).ranges):
                break
        return body

    # -- one packet ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._lines.clear()
        self._store.begin()
        try:
            yield
            self._store.commit()
        except BaseException:
            self._store.rollback()
            self._load()
            raise
        for line in self._lines:
            self._say(line)

    def _load(self) -> None:
        self._sites.clear()
        for gateway, sheet in self._store.sheets():
            self._site(gateway).sheets.appendleft(sheet)
        for gateway, epoch, counter in self._store.epochs():
            self._site(gateway).epochs[epoch] = counter
        for gateway, epoch, low, high in self._store.islands():
            self._site(gateway).received(epoch).add(low, high)
        self._since = self._store.last_packet()

    def _site(self, gateway: str) -> Site:
        return self._sites.setdefault(gateway, Site())

    def _take(self, gateway: str, packet: bytes, way: _Way) -> list[Took | Asked]:
        root = self._key_of(gateway)
        if root is None:
            self._noise("?", f"no key for gateway {gateway[:40]!r}", kind="no key for a gateway")
            return []
        site = self._site(gateway)
        opened = open_packet(packet, root, gateway, Direction.UP, site.epochs, site.sheets)
        if isinstance(opened, Noise):
            return self._unopened(gateway, site, opened, way)
        try:
            body = wire.decode(opened.body, opened.sheet)
            if isinstance(body, wire.Fragment):
                return self._take_fragment(gateway, site, opened, body, len(packet), way)
            took = self._keep(gateway, site, opened, body, len(packet), way)
        except WireError as error:
            self._noise(gateway, f"a genuine packet that cannot be read: {error}")
            return []
        self._note(gateway, site, took, took.kind, len(packet), way)
        return [took, *(self._waited(gateway, site, way) if isinstance(body, wire.SheetPacket) else [])]

    def _note(self, gateway: str, site: Site, took: Took, kind: Kind, size: int, way: _Way) -> None:
        number = (gateway, took.sealed, took.counter)
        self._store.add_packet(number, kind, size, way.link, way.now_ms, len(took.seqs), took.repeated)
        site.epochs[took.sealed] = max(took.counter, site.epochs.pop(took.sealed, -1))  # now the last
        self.counts.update(packets=1)

    def _waited(self, gateway: str, site: Site, way: _Way) -> list[Took | Asked]:
        """A sheet has come: takes what waited for one."""
        waiting = list(site.waiting)
        site.waiting.clear()
        found = [it for held in waiting for it in self._take(gateway, held, way)]
        for key, parcel in site.parcels.whole():
            found += self._finish(gateway, site, key, parcel, way)
        return found

    def _unopened(self, gateway: str, site: Site, noise: Noise, way: _Way) -> list[Took | Asked]:
        """Asks for the sheet if that may be what is missing: also when one fits, as two can share their short byte."""
        if noise.sheet_short is None:
            self._noise(gateway, noise.why)
        else:
            self.counts["waiting"] += 1
            site.waiting.append(noise.raw)
        return self._ask(gateway, site, *named_in_clear(noise.raw, site.epochs), way)

    def _ask(self, gateway: str, site: Site, epoch: int | None, short: int, way: _Way) -> list[Took | Asked]:
        if epoch is None or not short or not site.may_ask(way.now_ms, way.ask_again_ms):
            return []
        self.counts["asked"] += 1
        self._lines.append(f"{gateway}: packet names a sheet not known here (0x{short:02x}), asked for it")
        return [Asked(epoch, short)]

    # -- fragments -----------------------------------------------------------------------------------------------------

    def _take_fragment(
        self, gateway: str, site: Site, opened: Opened, fragment: wire.Fragment, size: int, way: _Way
    ) -> list[Took | Asked]:
        key = (opened.epoch, opened.counter - fragment.back)
        if key[1] < 0:
            raise WireError(f"a fragment {fragment.back} packets after the first of its parcel")
        took = Took(opened.epoch, opened.counter, opened.epoch, (), Kind.FRAGMENT)
        found: list[Took | Asked] = []
        done = site.parcels.done(key)
        if done is not None:
            took = replace(done, sealed=opened.epoch, counter=opened.counter, repeated=len(done.seqs))
        else:
            self._lines.append(f"{gateway}: fragment {fragment.index + 1} of {fragment.last + 1}, {size} B")
            unknown = not site.knows(opened.epoch)
            parcel = site.parcels.add(key, opened, fragment)
            if parcel.whole:
                found = self._finish(gateway, site, key, parcel, way)
            if found and isinstance(found[0], Took):
                took, *found = found  # type: ignore[assignment]
            took = replace(took, ended=unknown and (parcel.whole or fragment.index == fragment.last))
        self._note(gateway, site, took, Kind.FRAGMENT, size, way)
        return [took, *found]

    def _finish(self, gateway: str, site: Site, key: ParcelKey, parcel: Parcel, way: _Way) -> list[Took | Asked]:
        """A parcel is whole: what it holds counts as if it had come in the packet that came last."""
        try:
            joined = wire.join(parcel.in_order(), site.sheets)
            if isinstance(joined, wire.SheetMissing):
                return self._ask(gateway, site, parcel.opened.epoch, joined.short, way)
            opened = replace(parcel.opened, sheet=joined.sheet, body=joined.body)
            body = wire.decode(joined.body, joined.sheet)
            took = self._keep(gateway, site, opened, body, parcel.size_bytes, way)
        except WireError as error:
            site.parcels.finish(key, None)
            self._noise(gateway, f"a genuine parcel that cannot be read: {error}")
            return []
        site.parcels.finish(key, took)
        return [took, *(self._waited(gateway, site, way) if isinstance(body, wire.SheetPacket) else [])]

    # -- what is kept --------------------------------------------------------------------------------------------------

    def _seal(self, gateway: str, epoch: int, body: bytes, now_ms: int) -> bytes:
        root = self._key_of(gateway)
        assert root is not None  # else there were nothing to answer
        counter = self._store.take_counter(gateway, epoch, now_ms)
        return seal(root, gateway, epoch, Direction.DOWN, counter, None, body, long=True)

    def _keep(self, gateway: str, site: Site, opened: Opened, body: wire.Body, size: int, way: _Way) -> Took:
        """Stores what is new of a body. Raises WireError for a body no gateway sends."""
        kind, seqs = entries_of(body, gateway)
        epoch = entry_epoch(opened, body)
        received = site.received(epoch)
        new = sorted({seq for seq in seqs if seq not in received})
        repeated = len(seqs) - len(new)
        self._store.add_entries(gateway, epoch, new, kind, way.now_ms)
        if isinstance(body, wire.SheetPacket) and body.sheet not in site.sheets:
            site.sheets.appendleft(body.sheet)
        sheets = Sheets(opened.sheet, site.sheets)
        self._lines += store_body(self._store, (gateway, epoch), sheets, body, set(new), way.now_ms)
        for seq in new:
            received.add(seq, seq)
        self.counts.update(entries=len(new), repeated=repeated)
        if new or kind != Kind.ALARM:
            self._lines.append(
                f"{gateway}: {describe(body)}, {size} B" + (f", {repeated} repeated" if repeated else "")
            )
        return Took(opened.epoch, opened.counter, epoch, tuple(seqs), kind, repeated=repeated)

    def _noise(self, gateway: str, why: str, *, kind: str = "") -> None:
        self.counts["noise"] += 1
        key = (gateway, kind or re.sub(r"(0x)?[0-9a-f]*\d[0-9a-f]*", "#", why))
        if key not in self.noise:
            if len(self.noise) >= NOISE_KINDS:
                key = ("?", "other noise")
            self._lines.append(f"{gateway}: not counted: {why} (said once)")
        self.noise[key] += 1
