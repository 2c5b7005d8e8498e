"""The example site is right, and shows every key there is: a new key that nobody wrote about fails here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.cli.site_notes import forgotten
from edge.config import load, tables
from edge.config.design import DESIGN_KEY
from edge.contract import Driver, Rule

SITES = Path(__file__).parent.parent / "deploy" / "sites"
EXAMPLE = SITES / "tailings_pond.toml"
UNUSED_KEY = re.compile(r"^#: ", re.MULTILINE)  # a key that stands in the file without being used


def all_keys_used() -> str:
    return UNUSED_KEY.sub("", EXAMPLE.read_text())


def keys_of(*kinds: type[Any] | None) -> set[str]:
    return {field.encode_name for kind in kinds if kind for field in msgspec.structs.fields(kind)}


def shown(parts: list[dict[str, Any]]) -> set[str]:
    return {key for part in parts for key in part}


@pytest.mark.parametrize("file", sorted(SITES.glob("*.toml")), ids=lambda file: str(file.name))
def test_every_example_is_right(file: Path) -> None:
    site = load(file)
    assert site.points
    assert all(point.name for point in site.points)


def test_the_example_has_limits_of_every_kind() -> None:
    assert {limit.rule for limit in load(EXAMPLE).limits} == set(Rule) - {Rule.REMOVED}


def test_keys_that_are_not_used_are_right_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r'^#: \w+ = "([^"]+\.(?:pem|crt|password))"', EXAMPLE.read_text(), re.MULTILINE):
        (tmp_path / name).touch(0o600)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.toml").write_text(all_keys_used())
    load(tmp_path / "site.toml")


def test_every_key_of_the_gateways_own_tables_is_shown() -> None:
    tree = tomllib.loads(all_keys_used())
    assert set(tree) == keys_of(tables.SiteTable) | {DESIGN_KEY}
    assert set(tree["gateway"]) == keys_of(tables.GatewayTable)
    assert set(tree["store"]) == keys_of(tables.StoreTable)
    assert shown(tree["port"]) == keys_of(tables.PortTable)
    assert shown(tree["limit"]) == keys_of(tables.LimitTable)
    assert shown(tree["action"]) == keys_of(tables.ActionTable)


def test_every_key_of_an_outputs_driver_is_shown() -> None:
    drivers: dict[str, Driver] = {output.driver.name: output.driver for output in load(EXAMPLE).outputs}
    assert set(drivers) == {"modbus", "command", "syn6288", "gpio"}
    for name, driver in drivers.items():
        outputs = [output for output in tomllib.loads(all_keys_used())["output"] if output["driver"] == name]
        assert shown(outputs) | {"rest"} == keys_of(*tables.output_tables(driver), driver.output) | {"rest"}


@pytest.mark.parametrize("name", ["modbus", "serial_line"])
def test_every_key_of_an_instruments_driver_is_shown(name: str) -> None:
    driver = next(wire.driver for wire in load(EXAMPLE).wires if wire.driver.name == name)
    devices = [device for device in tomllib.loads(all_keys_used())["device"] if device["driver"] == name]
    points = [point for device in devices for point in device["point"]]
    assert shown(devices) == keys_of(tables.DeviceTable, driver.device)
    assert shown(points) == keys_of(tables.DevicePointTable, driver.point)


def test_every_key_of_a_links_driver_is_shown() -> None:
    drivers: dict[str, Driver] = {link.driver.name: link.driver for link in load(EXAMPLE).links}
    assert set(drivers) == {"mqtt", "beidou"}
    for name, driver in drivers.items():
        links = [link for link in tomllib.loads(all_keys_used())["link"] if link["driver"] == name]
        assert shown(links) == keys_of(*tables.link_tables(driver), driver.link)
        points = [point for link in links for point in link.get("point", [])]
        assert shown(points) == (keys_of(tables.PointTable, driver.link_point) if driver.link_point else set())


def test_its_release_does_not_outlive_its_instrument() -> None:
    assert not [note for note in forgotten(load(EXAMPLE)) if "故障闭锁" in note]
