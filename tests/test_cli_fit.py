"""fengsui fit: what it learns makes later packets smaller; a wrong file of priors costs nobody more than bytes."""

from __future__ import annotations

import asyncio
import csv
import json
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.cli import EXIT_FAILED, EXIT_SITE_FILE
from edge.cli.history import ROWS_MOST
from edge.cli.verbs import fengsui
from edge.config import load
from edge.config.site import Site
from edge.contract import MAX_STEPS, OpenPort, Port, PortSettings
from edge.daemon import build
from edge.errors import PortLost
from edge.priors import SEALING_BYTES, affordable, priors_for, read_priors, write_priors
from edge.site_sheet import sheet_of
from edge.wire.fit import fit
from edge.wire.packet import RoundRow, Rounds, decode, pack_rounds
from edge.wire.sheet import MAX_EPOCH, MAX_PRIOR_BYTES, MAX_SEQ, MAX_TIME_MS, Sheet, SheetGroup, SheetPoint
from sim.province_store import Store
from tests.bench.coding import load as series

NAMES = ("piezo_pb01a", "baro", "airtemp_1min", "wind_10min")
IDS = tuple(name.replace("_", "-") for name in NAMES)
MINUTE_MS = 60_000
T0_MS = 1_795_000_020_000
LEARNT, LATER = 1200, 600  # rounds
MANY = 2000  # points of the largest site
GATEWAY = """
[gateway]
id = "gw"
socket = "control"
{more}
[[port]]
id = "bus"
open = "serial:/dev/nowhere"
[[link]]
id = "main"
driver = "mqtt"
host = "127.0.0.1"
port = 9
[[device]]
id = "d"
driver = "modbus"
port = "bus"
unit = 1
"""
POINT = '[[device.point]]\nid = "{}"\nunit = "x"\nstep = 0.01\nevery = "1min"\nregister = {}\n'

Columns = dict[str, list[int]]


@pytest.fixture(scope="module")
def columns() -> Columns:
    return {point: series(name)[: LEARNT + LATER] for point, name in zip(IDS, NAMES, strict=True)}


def write_site(folder: Path, ids: Iterable[str] = IDS, more: str = "") -> Path:
    file = folder / "site.toml"
    points = "".join(POINT.format(point, register) for register, point in enumerate(ids))
    file.write_text(GATEWAY.format(more=more) + points)
    return file


def write_csv(folder: Path, columns: Columns, rounds: int = LEARNT) -> Path:
    file = folder / "history.csv"
    with file.open("w") as out:
        rows = csv.writer(out)
        rows.writerow(["at", *columns])
        for index, values in enumerate(list(zip(*columns.values(), strict=True))[:rounds]):
            rows.writerow([T0_MS + index * MINUTE_MS, *(Decimal(value) / 100 for value in values)])
    return file


def run(*arguments: object) -> Result:
    done = CliRunner().invoke(fengsui, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def fit_priors(site: Path, history: Path, output: Path) -> dict[str, bytes]:
    assert run("fit", site, "--from", history, "-o", output).exit_code == 0
    priors, said = read_priors(output, IDS)
    assert said == []
    return priors


def packed_bytes(sheet: Sheet, columns: Columns, rows: int = 30) -> int:
    """The later rounds in packets of `rows`; they must come back."""
    values = list(zip(*columns.values(), strict=True))[LEARNT:]
    rounds = [RoundRow(LEARNT + i, T0_MS + (LEARNT + i) * MINUTE_MS, row) for i, row in enumerate(values)]
    size_bytes = 0
    for start in range(0, len(rounds), rows):
        part = rounds[start : start + rows]
        body, taken = pack_rounds(sheet, 0, part, 10_000)
        assert taken == len(part)
        assert decode(body, sheet) == Rounds(0, tuple(part))
        size_bytes += len(body)
    return size_bytes


def test_history_makes_the_packets_of_the_site_smaller(tmp_path: Path, columns: Columns) -> None:
    site_file = write_site(tmp_path, more='priors = "site.priors"')
    history = write_csv(tmp_path, columns)
    done = run("fit", site_file, "--from", history, "--json")
    answer = json.loads(done.stdout)
    [group] = answer["groups"]
    assert (group["points"], group["rounds"]) == (len(IDS), LEARNT)
    assert group["bits_after"] < group["bits_before"]
    assert "learning baro" in done.stderr
    site = load(site_file)
    assert answer["file"] == str(site.gateway.priors)
    bare = sheet_of(site, 5, 1, T0_MS)
    priors, said = priors_for(tmp_path / "site.priors", bare, [16_384])
    assert said == []
    assert {point: prior.hex() for point, prior in priors.items()} == answer["priors"]
    fitted = packed_bytes(sheet_of(site, 5, 1, T0_MS, priors), columns)
    assert fitted < 0.97 * packed_bytes(bare, columns)
    assert not [line for line in run("check", site_file).stdout.splitlines() if "priors" in line]


def test_it_says_what_to_do_next(tmp_path: Path, columns: Columns) -> None:
    columns = {"piezo-pb01a": columns["piezo-pb01a"], "other": columns["baro"]}
    site = write_site(tmp_path)
    text = run("fit", site, "--from", write_csv(tmp_path, columns, 400), "-o", tmp_path / "out").stdout
    for part in (
        "every  points  fitted  rounds  bits before  bits after\n",
        "1min   4       1       400 ",
        "in the history but not in the site, left out: other",
        "kept at the gateway's own numbers (too little history, or nothing gained): baro, airtemp-1min, wind-10min",
        f'[gateway] priors = "{tmp_path / "out"}"',
        "restart the gateway",
    ):
        assert part in text


def province(file: Path, columns: Columns, rounds: int) -> Path:
    """The province's database with these readings, and another gateway's that must not disturb."""
    store = Store(file, durable=False)
    store.begin()
    for index in range(rounds):
        at_ms = T0_MS + index * MINUTE_MS
        for point, values in columns.items():
            steps = values[index]
            store.add_readings(
                [
                    ("gw", 7, index, at_ms, point, steps / 100, steps, 0, 0, at_ms),
                    ("another", 7, index, at_ms, point, 5.0, 500, 0, 0, at_ms),
                    ("gw", 8, index, index * 60_000, point, 5.0, 500, 0, 2, at_ms),  # its time was never known
                ]
            )
    store.commit()
    store.close()
    return file


def test_province_and_both_csv_teach_the_same(tmp_path: Path, columns: Columns) -> None:
    columns = dict(list(columns.items())[:2])
    site = write_site(tmp_path, columns)
    wide = fit_priors(site, write_csv(tmp_path, columns, 300), tmp_path / "wide")
    lines = ["at_ms,point,value"]
    for index in reversed(range(300)):  # order does not matter
        at = datetime.fromtimestamp((T0_MS + index * MINUTE_MS + 999) / 1000, UTC).isoformat()
        lines += [f"{at},{point},{values[index] / 100}" for point, values in columns.items()]
    (tmp_path / "long.csv").write_text("\ufeff" + "\r\n".join(lines), "utf-8")
    assert len(wide) == 2
    assert fit_priors(site, tmp_path / "long.csv", tmp_path / "long") == wide
    assert fit_priors(site, province(tmp_path / "p.db", columns, 300), tmp_path / "province") == wide


def test_gaps_and_a_coarse_history_are_taken_and_said(tmp_path: Path) -> None:
    lines = ["at,baro"]
    lines += [f"{T0_MS + i * 10 * MINUTE_MS},{'' if i % 5 == 0 else 10 + (i * i) % 7}" for i in range(200)]
    (tmp_path / "h.csv").write_text("\n".join(lines))
    done = run("fit", write_site(tmp_path, ["baro"]), "--from", tmp_path / "h.csv", "-o", tmp_path / "out")
    assert done.exit_code == 0
    assert "the history has a round every 10min, the site reads every 1min" in done.stdout


def test_only_the_newest_history_is_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["at,baro", *(f"{T0_MS + i * MINUTE_MS},{i}" for i in range(3 * ROWS_MOST))]
    (tmp_path / "h.csv").write_text("\n".join(lines))
    seen: list[Sequence[Sequence[int | None]]] = []

    def learn(_width: int, rows: Sequence[Sequence[int | None]]) -> tuple[bytes]:
        seen.append(rows)
        return (b"",)

    monkeypatch.setattr("edge.cli.learn.fit_columns", learn)
    run("fit", write_site(tmp_path, ["baro"]), "--from", tmp_path / "h.csv", "-o", tmp_path / "out")
    assert seen[0][0] == (2 * ROWS_MOST * 100,)
    assert len(seen[0]) == ROWS_MOST * 3 // 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "neither a database nor CSV with a header"),
        ("time,baro\n1,2\n", "neither a database nor CSV with a header"),
        ("at,baro\n1795000020000,x\n", "line 2: “x” is no number; leave a value that is missing empty"),
        ("at,baro\n1795000020,1\n", "line 2: “1795000020” is no time; write milliseconds since 1970"),
        ("at,baro\nyesterday,1\n", "“yesterday” is no time"),
        ("at,baro\n1795000020000,1,2\n", "line 2: 3 columns, the header has 2"),
        ("at,baro\n1795000020000,1e999\n", "nothing was learnt"),
        ("at,baro\n1795000020000,1\n", "nothing was learnt"),
        ("at,of-another-site\n1795000020000,1\n", "not in the site, left out: of-another-site"),
        ("SQLite format 3\0", "has no readings as the province keeps them"),
    ],
)
def test_a_history_that_teaches_nothing_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "h").write_text(text)
    (tmp_path / "out").write_text("as it was")
    done = run("fit", write_site(tmp_path), "--from", tmp_path / "h", "-o", tmp_path / "out")
    assert done.exit_code == EXIT_FAILED
    assert said in done.stderr
    assert (tmp_path / "out").read_text() == "as it was"


def test_wrong_usage(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    (tmp_path / "h").write_text("at,baro\n")
    assert "-o site.priors" in run("fit", site, "--from", tmp_path / "h").stderr
    assert run("fit", site, "--from", tmp_path / "none", "-o", tmp_path / "out").exit_code == 2
    assert run("fit", tmp_path / "none.toml", "--from", tmp_path / "h").exit_code == EXIT_SITE_FILE


def test_a_place_that_can_not_be_written_is_said(tmp_path: Path, columns: Columns) -> None:
    history = write_csv(tmp_path, columns, 200)
    done = run("fit", write_site(tmp_path), "--from", history, "-o", tmp_path / "none" / "out")
    assert done.exit_code == EXIT_FAILED
    assert "can not be written: No such file or directory" in done.stderr


# -- the file of priors ------------------------------------------------------------------------------------------------

PRIOR = fit(1, [((i * i) % 23,) for i in range(200)])[0]
TOO_FAR = fit(1, [((i * i) % 23 + 2**60,) for i in range(200)])[0]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "p"
    write_priors(file, {"a": PRIOR, "b.c-d": b"", "x": PRIOR}, "by\nme")
    assert read_priors(file, ["a", "b.c-d", "x"]) == ({"a": PRIOR, "x": PRIOR}, [])
    assert file.read_text().startswith("# Made by fengsui fit. by me\n")
    assert [file.name for file in tmp_path.iterdir()] == ["p"]
    _, said = read_priors(file, ["a"])
    assert said == [f"{file}: no such point in the site: b.c-d, x. Is the file of another site?"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is no file of priors (without a table [priors])"),
        (b"priors = 3", "is no file of priors"),
        (b"\xff", "is no file of priors"),
        (b"[priors", "is no file of priors"),
        (b"x = " + b"[" * 5000, "is no file of priors"),
        (b"#" * 1_000_001, "larger than 1000000 bytes"),
        (b"[priors]\na = 'xyz'", "the prior of a is left out: it is not hexadecimal"),
        (b"[priors]\na = 7", "the prior of a is left out: it is not hexadecimal"),
        (b"[priors]\na = '00'", "the prior of a is left out: "),
        (f"[priors]\na = '{PRIOR[:-1].hex()}'".encode(), "the prior of a is left out: "),
        (f"[priors]\na = '{'00' * 97}'".encode(), f"it has 97 bytes, {MAX_PRIOR_BYTES} at most"),
        (f"[priors]\na = '{TOO_FAR.hex()}'".encode(), "the prior of a is left out: "),
    ],
)
def test_a_wrong_file_is_left_out_and_said(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "p").write_bytes(text)
    priors, sentences = read_priors(tmp_path / "p", ["a"])
    assert priors == {}
    assert len(sentences) == 1
    assert said in sentences[0]


@given(
    raw=st.binary(max_size=80) | st.binary(max_size=80).map(lambda raw: b"[priors]\na = '" + raw.hex().encode() + b"'")
)
@settings(max_examples=200)
def test_no_file_of_priors_makes_reading_fail(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "any.priors"
    file.write_bytes(raw)
    read_priors(file, ["a"])


@given(
    changes=st.lists(st.tuples(st.integers(0, len(PRIOR) - 1), st.integers(0, 255)), max_size=4),
    values=st.lists(st.sampled_from([0, 1, -MAX_STEPS, MAX_STEPS, 12_345]), min_size=1, max_size=6),
)
@settings(max_examples=200, deadline=None)
def test_a_prior_that_is_read_packs_any_values(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], values: list[int]
) -> None:
    raw = bytearray(PRIOR)
    for place, byte in changes:
        raw[place] = byte
    file = tmp_path_factory.getbasetemp() / "any.priors"
    file.write_text(f"[priors]\na = '{raw.hex()}'")
    priors, said = read_priors(file, ["a"])
    assert bool(priors) != bool(said)
    sheet = wide_sheet(1, priors)
    rows = [RoundRow(1 + i, T0_MS + i * MINUTE_MS, (value,)) for i, value in enumerate(values)]
    body, taken = pack_rounds(sheet, 0, rows, 10_000)
    assert decode(body, sheet) == Rounds(0, tuple(rows[:taken]))
    assert taken == len(rows)


def wide_sheet(points: int, priors: dict[str, bytes] | None = None) -> Sheet:
    known = priors or {}
    ids = ["a"] if points == 1 else [f"p{i}" for i in range(points)]
    columns = tuple(SheetPoint(p, "m", Decimal("0.01"), None, None, known.get(p, b"")) for p in ids)
    return Sheet("gw", MAX_EPOCH, MAX_SEQ, MAX_TIME_MS, (SheetGroup(MINUTE_MS, columns),))


@pytest.mark.parametrize("mtus_bytes", [[16_384], [16_384, 2048], [2048, 77], [10**6]])
def test_priors_never_keep_a_sheet_from_a_link_that_could_carry_it(mtus_bytes: list[int]) -> None:
    bare = wide_sheet(MANY)
    chance = random.Random(3)
    priors = {f"p{i}": PRIOR[:20] + chance.randbytes(30) + PRIOR[50:] for i in range(MANY)}
    size_bytes = len(bare.encode()) + SEALING_BYTES
    able = [mtu for mtu in mtus_bytes if mtu >= size_bytes]
    kept = affordable(bare, priors, mtus_bytes)
    full_bytes = len(wide_sheet(MANY, kept).encode()) + SEALING_BYTES
    assert full_bytes <= min(able, default=65_535)
    assert list(kept) == [f"p{i}" for i in range(len(kept))]
    assert 0 < len(kept) < MANY
    assert full_bytes > min([*able, 65_535]) - MAX_PRIOR_BYTES  # no room is given away


def test_a_small_site_keeps_all_its_priors_on_a_link_like_a_satellites() -> None:
    priors = {f"p{i}": PRIOR for i in range(12)}
    assert affordable(wide_sheet(12), priors, [2048]) == priors
    assert affordable(wide_sheet(12), priors, [77]) == priors  # it never carries a sheet anyway
    assert affordable(wide_sheet(12), priors, []) == priors


# -- the gateway -------------------------------------------------------------------------------------------------------


async def no_port(settings: PortSettings) -> Port:
    raise PortLost(settings.id, "not there")


def started(site: Site, open_port: OpenPort = no_port) -> tuple[bytes, list[str]]:
    """The sheet with which a gateway of this site starts, and what it said of priors."""

    async def start() -> tuple[bytes, list[str]]:
        daemon = build(site, open_port)
        running = asyncio.create_task(daemon.run())
        async with asyncio.timeout(20):
            while not daemon.keeper.sheet.id:  # noqa: ASYNC110 the gateway has nothing that could be waited for
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return daemon.keeper.sheet.body, [e["text"] for e in daemon.journal.events if e["about"] == "priors"]

    return asyncio.run(start())


def test_the_gateway_starts_with_whatever_is_in_the_file(tmp_path: Path) -> None:
    site = load(write_site(tmp_path, ["baro"], 'priors = "site.priors"'))
    file = tmp_path / "site.priors"
    first, said = started(site)
    assert len(said) == 1
    assert "is not there" in said[0]
    write_priors(file, {"baro": PRIOR}, "")
    second, said = started(site)
    assert said == []
    assert Sheet.decode(second).groups[0].points[0].prior == PRIOR
    assert Sheet.decode(first).groups[0].points[0].prior == b""
    assert started(site)[0] == second  # the same priors, the same sheet
    file.write_text("[priors]\nbaro = 'ff'\n")
    third, said = started(site)
    assert Sheet.decode(third).groups[0].points[0].prior == b""
    assert "the prior of baro is left out" in said[0]


def test_check_warns_of_priors_that_are_not_right(tmp_path: Path) -> None:
    site = write_site(tmp_path, ["baro"], 'priors = "site.priors"')
    done = run("check", site)
    assert done.exit_code == 0
    assert "site.priors is not there; readings are packed larger without it" in done.stdout
    (tmp_path / "site.priors").write_text("[priors]\nbaro = 'ff'\n")
    assert "the prior of baro is left out" in run("check", site).stdout
