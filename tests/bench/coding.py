"""How small and how fast rounds are coded: REAL10, a real site of ten channels, fitted on its first half.

The ten series of tests/data/series row by row, as if each were read once a minute (their README has the sources).
Priors are fitted on the first half of the rows, every figure is of the second half, packets are made and sealed as
the relay does. Status entries take a seq once an hour, the sheet was made at the first row.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from edge.wire.fit import fit
from edge.wire.packet import RoundRow, decode, pack_rounds
from edge.wire.seal import SHORT_OVERHEAD_BYTES, Direction, open_packet, seal
from edge.wire.sheet import Sheet, SheetGroup, SheetPoint
from tests.bench.figure import Figure, at_most, plain, table

SERIES = Path(__file__).parents[1] / "data/series"
REAL10 = (
    *("piezo_pb01a", "piezo_pb02a", "welltemp_pb01a", "baro", "airtemp_1min"),
    *("humidity_1min", "irradiance_1min", "wind_10min", "rain_10min", "airtemp_10min"),
)
T0_MS = 1_700_000_040_000
EVERY_MS = 60_000
HOUR_ROWS = 60
BEIDOU_BYTES = 77  # of a civil level 3 message: 628 bits, less the byte A4 that marks mixed content
START_STEP = 10  # rows between the starting points of 77-byte messages
ROOT = bytes(32)

BATCH_BITS = 4.7
MESSAGE_READINGS = 105
CODE_US = 20.0


def load(name: str) -> list[int]:
    """The values of one series in whole steps."""
    lines = (SERIES / f"{name}.csv").read_text().splitlines()
    return [int(line.split(",")[1]) for line in lines if line[:1].isdigit()]


def real10() -> list[RoundRow]:
    """One row a minute."""
    columns = [load(name) for name in REAL10]
    return [
        RoundRow(1 + i + i // HOUR_ROWS, T0_MS + i * EVERY_MS, values)
        for i, values in enumerate(zip(*columns, strict=True))
    ]


def make_sheet(priors: tuple[bytes, ...]) -> Sheet:
    """The site of these series; the step does not matter to the coder."""
    points = (SheetPoint(name, "", Decimal("0.01"), None, None, p) for name, p in zip(REAL10, priors, strict=True))
    return Sheet("bench", 5, 1, T0_MS, (SheetGroup(EVERY_MS, tuple(points)),))


def packet(sheet: Sheet, body: bytes) -> bytes:
    """Sealed for a narrow link."""
    return seal(ROOT, sheet.gateway, sheet.epoch, Direction.UP, 77, sheet, body, long=False)


def hours(sheet: Sheet, rows: list[RoundRow]) -> tuple[float, float, float, float]:
    """Packets of an hour: bits a reading without and with header and tag, microseconds to encode and to decode one."""
    bare, whole, encode_us, decode_us = [], [], [], []
    for start in range(0, len(rows) - HOUR_ROWS + 1, HOUR_ROWS):
        hour = rows[start : start + HOUR_ROWS]
        readings = HOUR_ROWS * len(REAL10)
        t0 = time.perf_counter()
        body, taken = pack_rounds(sheet, 0, hour, 10_000)
        t1 = time.perf_counter()
        found = decode(body, sheet)
        t2 = time.perf_counter()
        if taken != HOUR_ROWS or getattr(found, "rows", None) != tuple(hour):
            raise AssertionError("an hour did not come back as it went in")
        bare.append(len(body) * 8 / readings)
        whole.append(len(packet(sheet, body)) * 8 / readings)
        encode_us.append((t1 - t0) / readings * 1e6)
        decode_us.append((t2 - t1) / readings * 1e6)
    return statistics.mean(bare), statistics.mean(whole), statistics.median(encode_us), statistics.median(decode_us)


def messages(sheet: Sheet, rows: list[RoundRow]) -> list[int]:
    """Readings in one 77-byte message, from many starting points."""
    counts = []
    for start in range(0, len(rows) - HOUR_ROWS + 1, START_STEP):
        body, taken = pack_rounds(sheet, 0, rows[start : start + HOUR_ROWS], BEIDOU_BYTES - SHORT_OVERHEAD_BYTES)
        sealed = packet(sheet, body)
        opened = open_packet(sealed, ROOT, sheet.gateway, Direction.UP, {sheet.epoch: 0}, [sheet])
        if len(sealed) > BEIDOU_BYTES or getattr(opened, "body", None) != body:
            raise AssertionError("a message is too long or does not open")
        counts.append(taken * len(REAL10))
    return counts


def run() -> Iterator[Figure]:
    """All figures of this part, about 15 s."""
    rows = real10()
    half = len(rows) // 2
    began_s = time.perf_counter()
    priors = fit(len(REAL10), [row.values for row in rows[:half]])
    fit_s = time.perf_counter() - began_s
    sheet = make_sheet(priors)
    bare, whole, encode_us, decode_us = hours(sheet, rows[half:])
    how = f"REAL10, priors fitted on rows 0..{half - 1}, measured on rows {half}..{len(rows) - 1}"
    yield at_most("an hour in a packet, all inside", whole, BATCH_BITS, "bit/reading", f"{how}; 60 rows a packet")
    yield plain("an hour, without header and tag", f"{bare:.3g} bit/reading", f"{how}; seqs and times inside")
    counts = messages(sheet, rows[half:])
    median = statistics.median(counts)
    yield Figure(
        "readings in a 77-byte message",
        f"{median:g} (mean {statistics.mean(counts):.1f})",
        f">= {MESSAGE_READINGS}",
        median >= MESSAGE_READINGS,
        f"{how}; sealed, whole rows only, median of {len(counts)} starting points",
    )
    yield at_most("coding a reading", encode_us, CODE_US, "us", f"{how}; median of the hours, CPU of this machine")
    yield at_most("decoding a reading", decode_us, CODE_US, "us", "the same packets")
    default = make_sheet((b"",) * len(REAL10))
    yield plain("an hour, no history", f"{hours(default, rows[half:])[1]:.3g} bit/reading", "b'' priors, all inside")
    yield plain("fitting the priors", f"{fit_s:.1f} s", f"{half} rows of ten points, once")


def main() -> None:
    """Prints the figures beside their targets."""
    print(table(run()))


if __name__ == "__main__":
    main()
