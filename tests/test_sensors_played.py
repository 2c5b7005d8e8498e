"""Every sensor template: the simulator plays the instrument from it, and the real driver reads every point back."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from edge.config import Site
from edge.contract import ListenedSensor, Point, Quality
from sim.virtual import run
from tests.sensor_sites import TEMPLATES, all_shorts, choice, site_text, template, values_of
from tests.world_wires import Bench, site_of, steps

AT_S = 20_000.0  # virtual seconds that a value stands; every point is read several times in it
POLLED = [name for name in TEMPLATES if template(name).driver == "modbus"]
LISTENED = [name for name in TEMPLATES if template(name).driver == "serial_line"]


class Truth:
    """What there is to measure, to be changed between readings."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def source_of(self, point: Point):  # type: ignore[no-untyped-def]
        return lambda _at_s: self.values[point.id]


def whole(folder: Path, name: str) -> Site:
    return site_of(folder, site_text(name, choice(all_shorts(name))))


@pytest.mark.parametrize("name", POLLED)
def test_every_register_is_read_back(name: str, tmp_path: Path) -> None:
    site = whole(tmp_path, name)
    (device,) = site.devices
    truth = Truth()
    lists = {point.id: values_of(point, device.spec.points[point.id]) for point in device.points}

    async def main() -> None:
        bench = Bench(site, truth.source_of)
        for turn in range(3):
            truth.values = {id_: values[turn] for id_, values in lists.items()}
            for reading, point in zip(await bench.ask("d"), device.points, strict=True):
                shown = bench.record.shown[point.id][-1]
                assert reading.value is not None, point.id
                assert reading.quality is Quality.GOOD
                assert steps(point, reading.value) == steps(point, shown.value), point.id
        assert not bench.record.failed

    run(main())


@pytest.mark.parametrize("name", POLLED)
def test_every_point_alone_shows_what_there_is(name: str, tmp_path: Path) -> None:
    """Not only what the registers say: what was there to measure, within one step; then the mark for no value."""
    for short in all_shorts(name):
        site = site_of(tmp_path, site_text(name, choice([short])))
        (device,) = site.devices
        wanted = next(point for point in device.points if point.id == f"d.{short}")
        truth = Truth()
        lists = {point.id: values_of(point, device.spec.points[point.id]) for point in device.points}

        async def main() -> None:
            bench = Bench(site, truth.source_of)  # noqa: B023 run at once
            for turn in range(3):
                truth.values = {id_: values[turn] for id_, values in lists.items()}  # noqa: B023
                readings = {reading.point: reading for reading in await bench.ask("d")}
                value = readings[wanted.id].value  # noqa: B023
                assert value is not None
                settings = device.spec.points[wanted.id]  # noqa: B023
                fine = 1.0 if getattr(settings, "vibrating_wire", None) is None else 8.0  # 0.1 Hz are some 0.3 kPa
                assert abs(value - truth.values[wanted.id]) <= fine * float(wanted.step) + 1e-6  # noqa: B023
            truth.values = dict.fromkeys(lists, math.nan)  # noqa: B023
            for reading in await bench.ask("d"):
                assert reading.value is None
                assert reading.quality in (Quality.REFUSED, Quality.NO_ANSWER)

        run(main())


@pytest.mark.parametrize("name", LISTENED)
def test_every_field_is_read_back(name: str, tmp_path: Path) -> None:
    site = whole(tmp_path, name)
    (device,) = site.devices
    lists = {point.id: values_of(point, device.spec.points[point.id]) for point in device.points}
    is_nmea = device.spec.settings.format == "nmea"

    async def main() -> None:
        bench = Bench(site, lambda point: lambda at_s: [*lists[point.id], math.nan][min(3, int(at_s // AT_S))])
        assert isinstance(bench.sensors["d"], ListenedSensor)
        heard = await bench.listen("d", 4 * AT_S)
        for point in device.points:
            values = [reading.value for reading in heard if reading.point == point.id]
            seen = {steps(point, value) for value in values if value is not None}
            assert seen == {steps(point, value) for value in lists[point.id]}, point.id
            assert (None in values) == is_nmea  # an empty field; a pattern's line without a number is not printed

    run(main())


def test_a_wire_without_temperature_has_no_pressure(tmp_path: Path) -> None:
    """The correction is part of the value: without it there is none, and the frequency is shown all the same."""
    site = site_of(tmp_path, site_text("changsha-kunpeng-wire"))
    truth = Truth()
    truth.values = {"d.frequency": 2800.0, "d.temperature": 18.2, "d.pressure": 0.0}

    async def main() -> None:
        bench = Bench(site, truth.source_of)
        frequency, temperature, pressure = await bench.ask("d")
        assert frequency.value == 2800.0
        assert temperature.value == 18.2
        assert pressure.value == pytest.approx(0.0005 * (2876.3**2 - 2800.0**2))
        await asyncio.sleep(1)
        truth.values["d.temperature"] = 28.2
        assert (await bench.ask("d"))[2].value == pytest.approx(0.0005 * (2876.3**2 - 2800.0**2) + 0.04 * 10)

    run(main())
