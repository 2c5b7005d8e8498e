"""What is built is what is read: every command and report through the stream, and byte for byte against the field."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.beidou import wire
from drivers.beidou.wire import (
    LEVEL_BITS,
    Ack,
    Beam,
    Beams,
    BitLimit,
    Card,
    Command,
    DeliveryReceipt,
    Dialect,
    Feedback,
    Fix,
    Form,
    Health,
    Locate,
    Message,
    Outcome,
    Position,
    PositionInject,
    QueryCard,
    QueryPower,
    QueryReceipts,
    QueryStatus,
    QueryStored,
    QueryTime,
    QueryVersion,
    Receipts,
    Report,
    Send,
    SetBeams,
    SetReport,
    Stream,
    UtcTime,
    Version,
    build,
    build_report,
    mixed_bytes,
)
from drivers.beidou.wire.fields import xor
from tests.test_beidou_wire_vectors import GOOD, almost, meaning, on_the_wire

B3, T21, B40 = Dialect.BDS3, Dialect.TEXT21, Dialect.BINARY40

cards = st.integers(1, 0x1FFFFE)
dialects = st.sampled_from(Dialect)
contents = st.one_of(
    st.tuples(st.just(Form.MIXED), st.binary(max_size=210)),
    st.tuples(st.just(Form.CODE), st.binary(max_size=105).filter(lambda data: data[:1] not in (b"\xa4", b"\xa0"))),
    st.tuples(st.just(Form.POSITION), st.binary(max_size=70).map(lambda data: b"\xa0" + data)),
    st.tuples(st.just(Form.TEXT), st.text("水位abc,*1 ", max_size=60).map(lambda text: text.encode("gbk"))),
)
seconds = st.integers(0, 86399)
halves = st.integers(0, 500).map(lambda number: number / 2)
clocks = st.tuples(st.integers(0, 23), st.integers(0, 59))
degrees = st.integers(0, 89 * 36000).map(lambda tenths: tenths / 36000)


@st.composite
def sends(draw: st.DrawFn) -> Send:
    dialect, (form, content) = draw(dialects), draw(contents)
    urgent = draw(st.booleans()) and dialect is not B3
    return Send(dialect, draw(cards), content or b"0", form, urgent, draw(cards) if dialect is B40 else 0)


commands: st.SearchStrategy[Command] = st.one_of(
    sends(),
    st.builds(QueryCard, dialects),
    st.builds(SetReport, st.sampled_from(["BSI", "PWI", "GGA", "BDTCI", ""]), st.one_of(st.none(), halves)),
    st.builds(QueryStored, st.one_of(st.none(), cards)),
    st.builds(QueryReceipts, cards),
    st.builds(SetBeams, st.one_of(st.none(), st.integers(1, 10)), st.one_of(st.none(), st.integers(1, 10))),
    st.builds(QueryStatus, st.integers(0, 65535), cards),
    st.builds(QueryPower, st.integers(0, 255), cards),
    st.builds(QueryTime, st.integers(0, 65535), cards),
    st.builds(QueryVersion, cards),
    st.builds(
        Locate, st.sampled_from([T21, B40]), cards, st.booleans(), st.integers(0, 3), st.integers(0, 9).map(float)
    ),
)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    dialect, (form, content) = draw(dialects), draw(contents)
    at: tuple[int, ...] | None = draw(clocks)
    if dialect is B3:
        at = (*(at or ()), draw(st.integers(0, 59)))
    if dialect is not B40 and draw(st.booleans()):
        at = None
    receiver = None if dialect is T21 else draw(cards)
    stored = draw(st.booleans()) and dialect is not B3
    return Message(dialect, draw(cards), receiver, form, content, stored, at, dialect is not B40 or draw(st.booleans()))


@st.composite
def health(draw: st.DrawFn) -> Health:
    battery = draw(st.integers(0, 100))
    if draw(st.booleans()):
        bad = tuple(name for name in ("prm", "crypto", "antenna", "channel", "power") if draw(st.booleans()))
        return Health(T21, None, not set(bad) - {"crypto"}, battery, faults=bad)
    card, hardware = draw(st.booleans()), draw(st.booleans())
    bad = tuple(name for name, good in (("card", card), ("hardware", hardware)) if not good)
    powers = draw(st.tuples(*[st.integers(0, 4)] * 6))
    return Health(B40, card, hardware, battery, draw(st.integers(0, 255)), steps(powers), bad)


def steps(powers: tuple[int, ...]) -> tuple[Beam, ...]:
    return tuple(Beam(place, float(power)) for place, power in enumerate(powers, 1))


receipts = st.lists(st.builds(DeliveryReceipt, clocks, clocks), max_size=5).map(tuple)
reports: st.SearchStrategy[Report] = st.one_of(
    messages(),
    health(),
    st.builds(
        Card,
        st.just(T21),
        cards,
        cards,
        halves,
        st.integers(1, 5),
        st.integers(0, 7),
        st.booleans(),
        st.sampled_from(["0", "24000000", "型号A"]),
        st.integers(0, 500),
    ),
    st.builds(
        Card,
        st.sampled_from([B3, B40]),
        cards,
        cards,
        st.integers(0, 600).map(float),
        st.integers(1, 5),
        st.integers(0, 7),
        st.booleans(),
        subordinates=st.integers(0, 500),
    ),
    st.builds(Card, dialects, st.none()),
    st.tuples(*[st.integers(0, 4)] * 6).map(lambda powers: Beams(B40, steps(powers))),
    st.tuples(*[st.integers(0, 4)] * 10).map(lambda powers: Beams(T21, steps(powers), None, 3, None)),
    st.builds(
        Beams,
        st.just(B3),
        st.lists(st.builds(Beam, st.integers(1, 21), st.integers(0, 60), st.integers(0, 60)), max_size=21).map(tuple),
        st.integers(1, 86399).map(float),
    ),
    st.builds(Receipts, st.sampled_from([T21, B40]), cards, receipts),
    st.builds(Fix, st.sampled_from([T21, B40]), cards, seconds.map(float), degrees, degrees, st.integers(-99, 999)),
    st.builds(UtcTime, st.integers(0, 4 * 10**12), st.just("ZDA")),
    st.builds(UtcTime, st.integers(0, 4 * 10**9).map(lambda second: second * 1000), st.just("SJXX")),
    st.builds(UtcTime, st.none(), st.sampled_from(["ZDA", "SJXX"])),
    st.builds(Version, st.sampled_from([B3, B40]), st.sampled_from(["V1.2", "北斗 2.0,b"])),
    st.builds(Ack, st.sampled_from(["TCQ", "RMO"])),
    st.builds(
        BitLimit,
        cards,
        st.integers(0, 14000),
        halves,
        st.integers(1, 5),
        st.integers(0, 100),
        st.lists(halves, min_size=21, max_size=21).map(tuple),
    ),
)


def read(data: bytes) -> object:
    heard = Stream().feed(data)
    assert len(heard) == 1, heard
    return heard[0]


@settings(max_examples=400, deadline=None)
@given(commands)
def test_every_command_is_read_as_it_was_meant(command: Command) -> None:
    assert read(build(command)) == command


@settings(max_examples=600, deadline=None)
@given(reports)
def test_every_report_is_read_as_it_was_meant(report: Report) -> None:
    found = read(build_report(report))
    if isinstance(report, Fix):
        assert isinstance(found, Fix)
        assert (found.lat_deg, found.lon_deg) == pytest.approx((report.lat_deg, report.lon_deg), abs=2e-7)
        assert (found.address, found.time_s_of_day, found.height_m) == (
            report.address,
            report.time_s_of_day,
            report.height_m,
        )
    else:
        assert found == report


TOLD: dict[Dialect, list[Outcome]] = {
    T21: [Outcome.SENT, Outcome.TOO_EARLY, Outcome.SUPPRESSED, Outcome.SILENT, Outcome.LOW_BATTERY, Outcome.REFUSED],
    B3: [
        *(Outcome.SENT, Outcome.TOO_EARLY, Outcome.SUPPRESSED, Outcome.SILENT, Outcome.NO_SIGNAL, Outcome.NO_CARD),
        *(Outcome.NO_PERMISSION, Outcome.BAD_CHECK, Outcome.REFUSED),
    ],
    B40: [outcome for outcome in Outcome if outcome not in (Outcome.SILENT, Outcome.NO_PERMISSION)],
}


@pytest.mark.parametrize(("dialect", "outcome"), [(dialect, one) for dialect, many in TOLD.items() for one in many])
def test_every_outcome_a_dialect_can_tell(dialect: Dialect, outcome: Outcome) -> None:
    name = {T21: "TXA", B3: "TCQ", B40: "TXSQ"}[dialect]
    waits = outcome is Outcome.TOO_EARLY or (outcome is Outcome.SENT and dialect is not B40)
    found = read(build_report(Feedback(dialect, name, outcome, 62.0 if waits else None)))
    assert isinstance(found, Feedback)
    assert (found.dialect, found.outcome, found.wait_s) == (dialect, outcome, 62.0 if waits else None)


def test_what_a_dialect_cannot_tell_is_a_refusal_without_a_reason() -> None:
    found = read(build_report(Feedback(T21, "TXA", Outcome.NO_CARD)))
    assert found == Feedback(T21, "TXA", Outcome.REFUSED, None, 0)


@pytest.mark.parametrize("row", [row for row in GOOD if row.startswith(("$CCTXA", "$CCRMO", "$CCBSS", "$CCDWA"))])
def test_commands_are_built_as_in_the_field(row: str) -> None:
    command = meaning(row)
    assert isinstance(command, Command)
    assert build(command) == on_the_wire(row)


@pytest.mark.parametrize("row", [row for row in GOOD if row.startswith("24 ") and "47 50 53 50" not in row])
def test_frames_are_built_as_in_the_field(row: str) -> None:
    """Commands and cards byte for byte; other reports carry the terminal's own number and flags that we do not read."""
    value = meaning(row)
    data = build(value) if isinstance(value, Command) else build_report(value)  # type: ignore[arg-type]
    assert almost(read(data), value)  # type: ignore[arg-type]
    if isinstance(value, Command | Card):
        assert data == on_the_wire(row)


def test_card_queries_are_built_as_in_the_field() -> None:
    assert build(QueryCard(B3)) == b"$CCICR,0,00*68\r\n"
    assert build(QueryCard(T21)) == b"$CCICA,0,00*7B\r\n"
    assert build(QueryCard(B40)) == bytes.fromhex("2449434A43000C000000002B")


def test_packets_go_as_mixed_content() -> None:
    packet = bytes(range(0x40, 0x40 + 77))
    digits = b"A4" + packet.hex().upper().encode()
    assert b"$CCTCQ,1595001,2,1,3," + digits + b",0*" in build(Send(B3, 1595001, packet))
    assert b"$CCTXA,1595001,1,2," + digits + b"*" in build(Send(T21, 1595001, packet))
    frame = build(Send(B40, 1595001, packet, own=142020))
    assert frame[7:17] == bytes.fromhex("022AC4 46 185679 0270 00")  # 0x270: 624 bits, the A4 among them
    assert frame[17:-1] == b"\xa4" + packet
    for dialect in Dialect:
        sent = read(build(Send(dialect, 1595001, packet)))
        assert isinstance(sent, Send)
        assert sent.bits == 624


def test_room_of_a_message() -> None:
    found = {level: mixed_bytes(LEVEL_BITS[level, False]) for level in (1, 2, 3, 4)}
    assert found == {1: 12, 2: 50, 3: 77, 4: 105}
    assert mixed_bytes(0) == 0


@given(degrees, degrees, st.sampled_from(["GGA", "RMC", "GLL"]), st.booleans(), st.booleans())
def test_positions(lat: float, lon: float, source: str, south: bool, west: bool) -> None:
    lat, lon = -lat if south else lat, -lon if west else lon
    time = 1795348830500 if source == "RMC" else None
    height, satellites, hdop = (12.5, 9, 1.1) if source == "GGA" else (None, None, None)
    found = read(build_report(Position(source, True, lat, lon, height, satellites, hdop, time)))
    assert isinstance(found, Position)
    assert (found.lat_deg, found.lon_deg) == pytest.approx((lat, lon), abs=2e-7)
    assert (found.source, found.valid, found.utc_ms) == (source, True, time)
    assert (found.height_m, found.satellites, found.hdop) == (height, satellites, hdop)


def test_no_fix() -> None:
    for source in ("GGA", "RMC", "GLL"):
        assert read(build_report(Position(source, False, None, None))) == Position(source, False, None, None)


@given(degrees, degrees, st.booleans())
def test_position_inject(lat: float, lon: float, south: bool) -> None:
    found = read(build(PositionInject(286176, -lat if south else lat, lon, 12.5)))
    assert isinstance(found, PositionInject)
    assert (found.lat_deg, found.lon_deg) == pytest.approx((-lat if south else lat, lon), abs=2e-7)
    assert (found.seconds_of_week, found.height_m) == (286176, 12.5)


@pytest.mark.parametrize(
    "command",
    [
        Send(T21, 0, b"x"),
        Send(B3, 100_000_000, b"x"),
        Send(B40, 0x1FFFFF, b"x"),
        Send(B3, 1, b"x", urgent=True),
        Send(T21, 1, b"x", Form.RAW),
        Send(T21, 1, b""),
        Send(B40, 1, b"x", Form.COMPRESSED),
        Locate(B3),
    ],
)
def test_what_cannot_be_said_is_refused(command: Command) -> None:
    with pytest.raises(ValueError):
        build(command)


# --- the orders that destroy a card ---


@settings(max_examples=300, deadline=None)
@given(commands)
def test_no_command_destroys_a_card(command: Command) -> None:
    data = build(command)
    head = data[1:6]
    assert not head.startswith(b"CCZHS")
    assert not head.startswith(b"JJZH")
    assert len(Stream().feed(data)) == 1  # one command only, none hidden in its content


def test_the_words_of_self_destruction_stand_nowhere_in_the_grammar() -> None:
    """Save where the stream knows the frame's size, so that what it hears is no surprise."""
    for file in Path(wire.__file__).parent.glob("*.py"):
        texts = [node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)]
        found = [text for text in texts if text in (b"JJZH", "JJZH", b"ZHS", "ZHS", b"CCZHS", "CCZHS")]
        assert found == ([b"JJZH"] if file.name == "binary.py" else [])


def test_a_self_destruct_that_is_heard_is_only_heard() -> None:
    order = b"$JJZH\x00\x0c\x00\x00\x00\x00"
    found = read(order + bytes([xor(order)]))
    assert isinstance(found, wire.Other)
    with pytest.raises(ValueError):
        build_report(found)
