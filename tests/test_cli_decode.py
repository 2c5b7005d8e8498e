"""fengsui decode packet: every kind in words, from every place a packet may come from; nothing makes it fall over."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.cli import EXIT_FAILED, EXIT_SITE_FILE
from edge.cli.verbs import fengsui
from edge.contract import Alarm, Change, Kind, Level, Rule
from edge.outbox import Outbox
from edge.wire.packet import encode_alarms, encode_map, encode_receipt, encode_sheet, pack_rounds
from edge.wire.rounds import RoundRow
from edge.wire.seal import Direction, seal
from edge.wire.sheet import Sheet
from tests.test_wire_golden import ALARM, BODIES, RANGES, ROOT, SHEET, STATUS, T0_MS, encode

GATEWAY = "mine-7"
USED = 50_000_000  # packet counters
SITE = """
[gateway]
id = "mine-7"
[store]
path = "store"
[[port]]
id = "bus"
open = "serial:/dev/x"
[[device]]
id = "d"
driver = "modbus"
port = "bus"
unit = 1
[[device.point]]
id = "pond.level"
unit = "mm"
step = 0.1
register = 7
[[link]]
id = "main"
driver = "mqtt"
host = "example"
"""
WORDS = {
    "rounds": [
        "group 0, every 1min: 4 rounds of 2 points",
        "2026-11-18 13:27:00Z  seq 155  pond.level 2100.4 mm, pond.",
    ],
    "rounds-irregular": [
        "pond.level - mm (no answer)",
        "(over range)",
        "(clock not confirmed)",
        "since boot",
        "suspect",
    ],
    "rounds-long": ["240 rounds", "seq 739"],
    "rounds-group-1": ["group 1, every 10min", "rain 0.0 mm"],
    "alarm": ["seq 70000  RED raised: pond.level 2300.4 mm, above 2300.0 mm", "尾矿库水位"],
    "alarm-drill": ["seq 70002  DRILL, RED raised: pond.level 2300.4 mm, above 2300.0 mm"],
    "alarm-basis": ["seq 70001  BLUE raised: sum of rain and pond.level in 43200 s 50.3 mm, above 50.0 mm", "rain-12h"],
    "status": ["seq 71", "cpu: 0.25", 'links: {"4g": true, "vsat": null}'],
    "account": ["taken: 5", "(clock not confirmed)"],
    "sheet": [SHEET.digest.hex(), "above yellow 2100.0, red 2300.0 mm", "0 to 5000", "group 1, every 10min (1)"],
    "summary": [
        "group 0, 3 windows of 10min",
        "pond.level 2100.0 / 2100.3 / 2100.9 mm (10 good), pond.temperature 87.31 / 87.34 / 87.36 degC (10 good)",
        "pond.temperature - / - / - degC (0 good)",
    ],
    "summary-entry": ["group 1, 1 window of 30min", "seq 70001", "rain 0.0 / 0.3 / 1.2 mm (3 good)"],
    "fragment": ["piece 2 of 3 of a parcel, 8 bytes: 0001020304050607", "began 300 packets before"],
    "test": ["asks the province for a receipt"],
    "receipt": ["stored 69252 entries of epoch 5eed0005: seq 1-250, 252, 1000-70000", "counter 70000", "0x"],
    "receipt-narrow": [
        "epoch 5eed0005: seq 1-250",
        "held for 31.25 s",
        "from 69976 to there that have not arrived: 69990",
    ],
}


def sealed(
    body: bytes, sheet: Sheet | None = None, counter: int = 7, long: bool = True, way: Direction = Direction.UP
) -> str:
    return seal(ROOT, GATEWAY, SHEET.epoch, way, counter, sheet, body, long=long).hex()


SHEET_PACKET = sealed(encode_sheet(1, SHEET))
STATUS_PACKET = sealed(encode_map(Kind.STATUS, 71, T0_MS, 0, STATUS))


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    done = CliRunner().invoke(fengsui, ["decode", "packet", *map(str, arguments)], input=stdin)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.key"
    file.write_text(ROOT.hex())
    return file


@pytest.fixture
def site(tmp_path: Path, key: Path) -> Path:
    file = tmp_path / "site.toml"
    file.write_text(SITE)
    return file


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Outbox]:
    """The store of the site, open as the daemon has it."""
    folder = tmp_path / "store"
    outbox, _ = Outbox.open(folder, 10**9, "now")
    outbox._db.execute("UPDATE store SET epoch = ?", (SHEET.epoch,))
    outbox.sheet_id(SHEET.digest, SHEET.epoch, SHEET.encode())
    outbox.reserve_counters(USED)
    yield outbox
    outbox.close()


@pytest.mark.parametrize("name", BODIES)
def test_every_kind_in_words_and_for_programs(name: str, key: Path) -> None:
    down = ["--down"] if name.startswith("receipt") else []
    sheet = SHEET if name.startswith(("rounds", "alarm", "summary")) else None
    packet = sealed(encode(BODIES[name][0]), sheet, way=Direction.DOWN if down else Direction.UP)
    asked = [packet, "--key", key, "--gateway", GATEWAY, "--sheet", SHEET_PACKET, *down]
    done = run(*asked)
    assert done.exit_code == 0
    for part in ["genuine: gateway mine-7, epoch 5eed0005, counter 7", *WORDS[name]]:
        assert part in done.stdout
    answer = json.loads(run(*asked, "--json").stdout)
    assert (answer["genuine"], answer["counter"], answer["kind"]) == (True, 7, done.stdout.split("\n")[2].rstrip(":"))


def test_rounds_for_programs_are_whole(key: Path) -> None:
    body, _ = pack_rounds(SHEET, 0, [RoundRow(9, T0_MS, (21_004, None), bytes([0, 4]), 1)], 1000)
    done = run(sealed(body, SHEET), "--key", key, "--gateway", GATEWAY, "--sheet", SHEET_PACKET, "--json")
    assert json.loads(done.stdout)["body"]["rounds"] == [
        {
            "seq": 9,
            "at_ms": T0_MS,
            "clock": "free",
            "readings": [
                {"point": "pond.level", "value": "2100.4", "unit": "mm", "quality": "good"},
                {"point": "pond.temperature", "value": None, "unit": "degC", "quality": "no answer"},
            ],
        }
    ]


def short_alarm(counter: int) -> str:
    return sealed(encode_alarms(SHEET, [(70_000, ALARM)]), SHEET, counter, long=False)


@pytest.mark.parametrize("counter", [0, 65_535, 1_234_567, USED - 1])
def test_with_the_site_a_short_packet_opens_from_its_store(site: Path, store: Outbox, counter: int) -> None:
    store.close()
    done = run(short_alarm(counter), "--site", site)
    assert done.exit_code == 0, done.stdout
    assert f"counter {counter}, sheet {SHEET.digest.hex()}" in done.stdout
    assert done.stderr == ""


def test_a_store_in_use_is_read_and_stays_as_it_was(site: Path, store: Outbox) -> None:
    store._db.execute("PRAGMA wal_checkpoint")
    words = ["decode", "packet", short_alarm(USED - 1), "--site", str(site)]
    command = [sys.executable, "-c", "from edge.cli import main; main()", *words]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert "the gateway runs" in done.stderr
    assert store.reserve_counters(1) == USED


def test_without_a_store_short_packets_open_by_their_sheet(site: Path) -> None:
    packet = sealed(encode_map(Kind.STATUS, 1, T0_MS, 0, {}), None, 3_000_000, long=False)
    alone = run(packet, "--site", site)
    assert alone.exit_code == EXIT_FAILED
    assert "only 3 bits of the epoch (5)" in alone.stdout
    assert "nothing more is taken from the store" in alone.stderr
    assert run(packet, "--site", site, "--sheet", SHEET_PACKET).exit_code == 0


def test_without_a_key_only_the_head_is_read() -> None:
    done = run(sealed(b"\x02", SHEET, 0x12345, long=False))
    assert done.exit_code == 0
    assert "head: short form, AES-CCM, epoch ...101 (its last 3 bits), counter ...2345" in done.stdout
    assert f"sheet 0x{SHEET.short:02x}" in done.stdout
    assert "add --key and --gateway; or --site" in done.stdout
    answer = json.loads(run(STATUS_PACKET, "--gateway", GATEWAY, "--json").stdout)
    assert answer["genuine"] is None
    assert answer["head"]["form"] == "long"
    assert (answer["head"]["epoch"], answer["head"]["counter"]) == (SHEET.epoch, 7)
    assert "--key" in answer["why"]


def test_an_alarm_that_stands_alone_is_told_in_steps_unless_its_point_is_known(key: Path) -> None:
    packet = sealed(encode_alarms(None, [(70_000, ALARM)]))
    asked = [packet, "--key", key, "--gateway", GATEWAY]
    assert "pond.level 23004 steps, above 23000 steps" in run(*asked).stdout
    assert "pond.level 2300.4 mm, above 2300.0 mm" in run(*asked, "--sheet", SHEET_PACKET).stdout


def test_not_genuine(key: Path, site: Path) -> None:
    raw = bytearray.fromhex(STATUS_PACKET)
    raw[-1] ^= 1
    done = run(raw.hex(), "--key", key, "--gateway", GATEWAY)
    assert done.exit_code == EXIT_FAILED
    assert "not genuine for gateway mine-7" in done.stdout
    assert run(STATUS_PACKET, "--key", key, "--gateway", "mine-8").exit_code == EXIT_FAILED
    assert run(STATUS_PACKET, "--key", key, "--gateway", GATEWAY, "--down").exit_code == EXIT_FAILED
    answer = json.loads(run(raw.hex(), "--site", site, "--json").stdout)
    assert answer["genuine"] is False


def test_a_sheet_that_is_not_known_is_named(key: Path) -> None:
    body, _ = pack_rounds(SHEET, 0, [RoundRow(9, T0_MS, (1, 2))], 1000)
    done = run(sealed(body, SHEET), "--key", key, "--gateway", GATEWAY)
    assert done.exit_code == EXIT_FAILED
    assert f"(0x{SHEET.short:02x}): add --sheet" in done.stdout


def test_genuine_but_malformed(key: Path) -> None:
    done = run(sealed(b"\x0f\x00"), "--key", key, "--gateway", GATEWAY)
    assert done.exit_code == EXIT_FAILED
    assert "genuine, but its body is malformed: kind 15 is not known" in done.stdout


@pytest.mark.parametrize("packet", ["", "00", "4d5eed", "5000000000"])
def test_what_is_no_packet_is_said(packet: str) -> None:
    done = run(packet)
    assert done.exit_code == EXIT_FAILED
    assert done.stdout.startswith("no packet: ")


def test_a_packet_may_be_text_binary_or_piped(tmp_path: Path, key: Path) -> None:
    raw = bytes.fromhex(STATUS_PACKET)
    (tmp_path / "binary").write_bytes(raw)
    (tmp_path / "text").write_text(raw.hex(" ").upper() + "\r\n")
    options = ["--key", key, "--gateway", GATEWAY]
    plain = run(STATUS_PACKET, *options).stdout
    assert "free_mb: 1210" in plain
    for given_as in (f"@{tmp_path / 'binary'}", f"@{tmp_path / 'text'}", "0x" + STATUS_PACKET, raw.hex(":")):
        assert run(given_as, *options).stdout == plain
    for piped in (raw, raw.hex().encode()):
        assert run("-", *options, stdin=piped).stdout == plain


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["zz"], "not hexadecimal; a file is given as @FILE"),
        (["@/nowhere"], "/nowhere can not be read: No such file"),
        ([STATUS_PACKET, "--key", "/nowhere"], "/nowhere: No such file"),
        ([STATUS_PACKET, "--sheet", SHEET_PACKET], "give the key and gateway"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


def test_a_wrong_key_or_sheet_is_wrong_usage(tmp_path: Path, key: Path) -> None:
    (tmp_path / "short.key").write_text("00")
    done = run(STATUS_PACKET, "--gateway", GATEWAY, "--key", tmp_path / "short.key")
    assert done.exit_code == 2
    assert "64 hex digits" in " ".join(done.stderr.split())
    for sheet, said in ((STATUS_PACKET, "holds no sheet but: status"), ("00", "first byte is 0x00")):
        done = run(STATUS_PACKET, "--gateway", GATEWAY, "--key", key, "--sheet", sheet)
        assert done.exit_code == 2
        assert said in " ".join(done.stderr.split())


def test_a_wrong_site_file_ends_as_everywhere(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("[gateway]\n")
    assert run(STATUS_PACKET, "--site", tmp_path / "site.toml").exit_code == EXIT_SITE_FILE


def test_a_store_that_is_none_is_a_note(site: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "outbox.db").write_bytes(b"SQLite format 3\0" + bytes(5000))
    done = run(STATUS_PACKET, "--site", site)
    assert done.exit_code == 0
    assert "nothing more is taken from the store" in done.stderr


def test_texts_in_a_packet_steer_no_terminal(key: Path) -> None:
    packet = sealed(encode_map(Kind.STATUS, 1, 2**53 - 1, 0, {"event": "bus: \x1b[2J\n", "raw": b"\x01"}))
    text = run(packet, "--key", key, "--gateway", GATEWAY).stdout
    assert r"event: bus: \x1b[2J\n" in text
    assert 'raw: "01"' in text


def test_a_receipt_for_programs(key: Path) -> None:
    body = encode_receipt(SHEET.epoch, RANGES, T0_MS, echo=5, need_sheets=[1])
    done = run(sealed(body, way=Direction.DOWN), "--key", key, "--gateway", GATEWAY, "--down", "--json")
    ranges = [list(pair) for pair in RANGES]
    assert json.loads(done.stdout)["body"] == {
        **{"epoch": SHEET.epoch, "ranges": ranges, "time_ms": T0_MS, "echo": 5, "need_sheets": [1]},
        **{"held_ms": 0, "lowest": None, "missing": []},
    }


def test_a_silence_is_told_in_seconds(key: Path) -> None:
    alarm = Alarm("quiet", "pond.level", Level.BLUE, Change.RAISED, Rule.STALE, None, 300, T0_MS)
    packet = sealed(encode_alarms(None, [(1, alarm)]))
    assert "without a good value for 300 s" in run(packet, "--key", key, "--gateway", GATEWAY).stdout


@given(raw=st.binary(max_size=60) | st.binary(max_size=40).map(lambda tail: b"\x45" + tail))
@settings(max_examples=100, deadline=None)
def test_any_bytes_get_an_answer(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert run(raw.hex()).exit_code in (0, EXIT_FAILED)
    folder = tmp_path_factory.getbasetemp()
    (folder / "any.key").write_text(ROOT.hex())
    assert run(raw.hex(), "--key", folder / "any.key", "--gateway", GATEWAY).exit_code == EXIT_FAILED


@given(body=st.binary(max_size=60), short=st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_genuine_body_gets_an_answer(body: bytes, short: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "any.key").write_text(ROOT.hex())
    packet = sealed(body or b"\0", SHEET, 12, long=not short)
    options = ["--key", folder / "any.key", "--gateway", GATEWAY, "--sheet", SHEET_PACKET]
    done = run(packet, *options)
    assert "genuine: gateway" in done.stdout
    json.loads(run(packet, *options, "--json").stdout)
