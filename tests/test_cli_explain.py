"""fengsui decode DRIVER: a driver's own words for its wire, for people and programs; and what is no driver for that."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge.cli import EXIT_FAILED
from edge.cli.explain import TEXT_MOST_BYTES
from edge.cli.verbs import fengsui
from edge.config import plugs
from edge.contract import ENTRY_POINT_GROUP, Driver


def explain(text: str) -> Sequence[Mapping[str, Any]]:
    """A wire of numbers, one a line."""
    return [
        {"valid": line.isdigit(), "what": f"number {line}", "fields": {"value": line, "位": [len(line)], "odd": None}}
        for line in text.split()
    ]


NUMBERS = Driver(name="numbers", explain=explain)
SILENT = Driver(name="silent")


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"numbers": f"{__name__}:NUMBERS", "silent": f"{__name__}:SILENT", "broken": "no.such.module:X"}
    entries = {name: EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in values.items()}
    monkeypatch.setattr(plugs, "_entry_points", lambda: entries)


def run(*words: str, stdin: bytes | None = None) -> Result:
    done = CliRunner().invoke(fengsui, ["decode", *words], input=stdin)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_lines_in_words() -> None:
    done = run("numbers", "12", "3\n4")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:4] == ["number 12", "  value  12", "  位     [2]", "  odd    null"]
    assert "number 4" in done.stdout


def test_lines_for_programs() -> None:
    done = run("numbers", "12", "x", "--json")
    assert json.loads(done.stdout) == [*explain("12"), *explain("x")]
    assert done.exit_code == EXIT_FAILED


def test_one_that_is_not_valid_ends_with_1_and_its_reason() -> None:
    done = run("numbers", "12", "x\x1b[2J")
    assert done.exit_code == EXIT_FAILED
    assert r"not valid: number x\x1b[2J" in done.stdout
    assert "\nnumber 12" in f"\n{done.stdout}"


def test_standard_input() -> None:
    assert run("numbers", "-", stdin=b"7\n8\n").stdout.count("number") == 2


def test_bytes_that_are_no_text_come_as_hexadecimal() -> None:
    assert "number 3132b0a1" in run("numbers", "-", stdin=b"12\xb0\xa1").stdout


@pytest.mark.parametrize("text", ["", " \n"])
def test_nothing_to_explain_is_wrong_usage(text: str) -> None:
    for done in (run("numbers", text), run("numbers", "-", stdin=text.encode())):
        assert (done.exit_code, done.stdout) == (2, "")
        assert "empty" in done.stderr


def test_too_much_is_wrong_usage() -> None:
    assert run("numbers", "-", stdin=b"1" * TEXT_MOST_BYTES).exit_code == 0
    for done in (run("numbers", "1" * (TEXT_MOST_BYTES + 1)), run("numbers", "-", stdin=b"1" * TEXT_MOST_BYTES * 2)):
        assert done.exit_code == 2
        assert "in pieces" in done.stderr


def test_text_in_which_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Driver(name="numbers", explain=lambda _text: [])
    monkeypatch.setitem(globals(), "NUMBERS", nothing)
    done = run("numbers", "abc")
    assert done.exit_code == EXIT_FAILED
    assert "no line and no frame" in done.stderr


def test_what_a_shell_has_eaten_is_said() -> None:
    assert "single quotes" in run("numbers", ",TXA,Y,Y,0,0000*13").stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("silent", "the driver “silent” explains nothing; there are: packet, numbers"),
        ("broken", "can not be imported: ModuleNotFoundError"),
        ("numbesr", "did you mean “numbers”?"),
        ("packe", "did you mean “packet”?"),
        ("$BDFKI,TXA", "is nothing to decode; allowed: packet, numbers"),
    ],
)
def test_what_can_not_be_asked_is_wrong_usage(name: str, said: str) -> None:
    done = run(name, "12")
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_help_lists_what_can_be_decoded() -> None:
    text = run("--help").stdout
    assert "packet " in text
    assert "numbers " in text
    assert "silent" not in text
    assert "'single quotes'" in run("numbers", "--help").stdout


def test_a_packet_is_still_opened_here() -> None:
    assert "no packet: only 1 bytes" in run("packet", "40").stdout


def test_only_the_driver_that_is_named_is_imported() -> None:
    program = (
        "import sys\nfrom edge.cli.verbs import fengsui\n"
        "try: fengsui(['decode', 'beidou', '--help'])\n"
        "finally: print('LOADED', [name for name in sys.modules if name.split('.')[0] in ('cryptography', 'pymodbus',"
        " 'paho', 'asyncio', 'sqlite3') or name in ('drivers.modbus', 'drivers.mqtt', 'edge.wire.seal')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "LOADED []" in done.stdout
