"""The province's Beidou desk and gateways that write to it: what its tests share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edge.contract import Kind
from edge.wire import packet as packets
from edge.wire.seal import Direction, Opened, open_packet, seal
from edge.wire.sheet import Sheet
from sim.ground_beidou import BeidouDesk
from sim.province import Province
from tests.test_ground_province import ALARM, EPOCH, MINUTE_MS, ROOT, T0_MS, make_sheet

CARD, OTHER_CARD, PROVINCE = 1207733, 1207734, 1595001
GW, OTHER = "gw-1", "gw-2"
ROOM = 77


class Gateway:
    """Makes short-form packets, and reads receipts."""

    def __init__(self, name: str = GW) -> None:
        self.name = name
        self.sheet: Sheet = replace(make_sheet(), gateway=name)
        self.counter = 0

    def pack(self, body: bytes, *, sheet: bool = True, long: bool = False) -> bytes:
        self.counter += 1
        named = self.sheet if sheet else None
        return seal(ROOT, self.name, EPOCH, Direction.UP, self.counter, named, body, long=long)

    def sheet_packet(self) -> bytes:
        return self.pack(packets.encode_sheet(1, self.sheet), sheet=False, long=True)

    def round(self, seq: int) -> bytes:
        rows = [packets.RoundRow(seq, T0_MS + seq * MINUTE_MS, (seq, 7))]
        return self.pack(packets.pack_rounds(self.sheet, 0, rows, 60)[0])

    def alarm(self, seq: int) -> bytes:
        return self.pack(packets.encode_alarms(self.sheet, [(seq, ALARM)]))

    def test(self) -> bytes:
        return self.pack(bytes([Kind.TEST]), sheet=False)

    def receipt(self, packet: bytes) -> packets.Receipt:
        opened = open_packet(packet, ROOT, self.name, Direction.DOWN, {})
        assert isinstance(opened, Opened)
        body = packets.decode(opened.body, None)
        assert isinstance(body, packets.Receipt)
        return body


def open_desk(db: Path | str = ":memory:", lines: list[str] | None = None) -> BeidouDesk:
    said = lines if lines is not None else []
    province = Province(db, {GW: ROOT, OTHER: ROOT}.get, said.append, durable=False)
    return BeidouDesk(province, {CARD: GW, OTHER_CARD: OTHER}, said.append)


def known(gateway: Gateway, desk: BeidouDesk | None = None) -> BeidouDesk:
    """A desk whose province has had this gateway's sheet, entry 1, over another link."""
    desk = desk or open_desk()
    assert len(desk.province.receive(gateway.name, gateway.sheet_packet(), T0_MS)) == 1
    return desk
