"""Drivers are found by entry point, imported only when named, and a bad one is a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from edge.config import plugs, schema
from edge.config.reader import Reader
from edge.contract import ENTRY_POINT_GROUP
from tests.config_sites import DRIVERS, GOOD, changed, problems_of


def install(monkeypatch: pytest.MonkeyPatch, **drivers: str) -> None:
    entries = {name: EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in drivers.items()}
    monkeypatch.setattr(plugs, "_entry_points", lambda: entries)


def test_an_entry_point_is_loaded_when_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, fake="tests.config_sites:FAKE", out="tests.config_sites:OUT", unused="no.such.module:X")
    assert problems_of(tmp_path, GOOD, None) == []


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("no.such.module:X", "can not be imported: ModuleNotFoundError: No module named 'no'"),
        ("tests.config_sites:NONE", "can not be imported: AttributeError"),
        ("tests.config_sites:GOOD", "is not a driver but a str"),
        ("tests.config_broken:DRIVER", "can not be imported: ModuleNotFoundError"),
    ],
)
def test_a_bad_driver_is_a_sentence(value: str, sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, fake="tests.config_sites:FAKE", out=value)
    [problem] = problems_of(tmp_path, GOOD, None)
    assert problem.startswith('link[0] "main" → driver: ')
    assert sentence in problem


@pytest.mark.parametrize("line", ["1 +", "1 / 0", "undefined", "raise OSError('no such device')", "[][0]"])
def test_a_driver_that_fails_while_imported(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = f"fengsui_broken_{abs(hash(line))}"
    (tmp_path / f"{name}.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    install(monkeypatch, fake="tests.config_sites:FAKE", out=f"{name}:DRIVER")
    [problem] = problems_of(tmp_path, GOOD, None)
    assert "can not be imported" in problem


def test_a_driver_that_is_not_there_lists_the_installed(tmp_path: Path) -> None:
    found = problems_of(tmp_path, changed('driver = "out"', 'driver = "mqttt"'), None)
    assert any("no driver “mqttt” is installed; did you mean “mqtt”?" in problem for problem in found), found
    assert any("modbus" in problem and "serial_line" in problem for problem in found)


def test_loading_a_site_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(GOOD)
    program = (
        "import sys, pathlib; import edge.config; from tests.config_sites import DRIVERS\n"
        f"edge.config.load(pathlib.Path({str(tmp_path / 'site.toml')!r}), DRIVERS)\n"
        "print([name for name in sys.modules if name.split('.')[0] in"
        " ('drivers', 'pymodbus', 'paho', 'aiomqtt', 'cryptography', 'cbor2', 'asyncio', 'sqlite3', 'click')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_schema_knows_every_key_and_refuses_others() -> None:
    made = json.loads(json.dumps(schema(DRIVERS)))
    assert made["required"] == ["gateway"]
    tables = {"gateway", "store", "design", "port", "device", "limit", "link", "output", "action"}
    assert set(made["properties"]) == tables
    device, templated = made["properties"]["device"]["items"]["anyOf"]
    assert set(templated["required"]) == {"id", "port", "device"}
    assert {"device", "points", "unit", "point"} < set(templated["properties"])
    assert "driver" not in templated["properties"]
    assert templated["additionalProperties"]["type"] == "number"
    assert "point" in templated["properties"]["point"]["items"]["properties"]
    assert "required" not in templated["properties"]["point"]["items"]
    assert device["properties"]["driver"] == {"const": "fake"}
    assert {"id", "driver", "port", "unit"} == set(device["required"])
    point = device["properties"]["point"]["items"]
    doubts = {"stuck", "spike", "rate_max", "twin", "twin_differs"}
    plain = {"id", "name", "unit", "step", "range", "every", "register", "scale", "even"}
    assert set(point["properties"]) == plain | doubts
    link, radio = made["properties"]["link"]["items"]["anyOf"]
    assert set(radio["properties"]) == {"id", "driver", "batch", "port", "province", "point"}
    assert set(radio["required"]) == {"id", "driver", "port", "province"}
    watched = radio["properties"]["point"]["items"]
    assert set(watched["properties"]) == {"id", "name", "unit", "step", "range", "every", "read"}
    assert "point" not in link["properties"]
    assert link["properties"]["port"]["maximum"] == 65535
    for table in (
        device,
        point,
        link,
        radio,
        watched,
        made["properties"]["gateway"],
        made["properties"]["limit"]["items"],
    ):
        assert table["additionalProperties"] is False
    assert "$ref" not in json.dumps(made)


def test_the_schema_of_the_installed_drivers_can_be_made() -> None:
    found = plugs.Drivers(None)
    kinds = [kind["properties"]["driver"]["const"] for kind in schema()["properties"]["link"]["items"]["anyOf"]]
    assert "mqtt" in kinds
    assert found.get(Reader(Path("/")), (), "mqtt") is not None
