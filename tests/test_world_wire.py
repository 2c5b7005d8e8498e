"""Wires in memory under every fault: what the real sensors read is what the record says was shown, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from edge.contract import Quality
from edge.errors import PortLost
from sim.instrument import AMOUNTS, CHANCES
from sim.virtual import run
from sim.world.nouns import KINDS
from sim.world.sites import standard_site
from sim.world.weather import Weather
from tests.world_wires import Bench, site_of, steps

POLLED = ("dam-1", "dam-2", "pond", "slope", "mine", "plc")


def bench_of(folder: Path, seed: int = 1) -> Bench:
    site = site_of(folder, standard_site())
    return Bench(site, Weather(seed, {}, site.limits).source_of, seed)


def test_every_fault_of_a_device_is_one_the_models_know() -> None:
    assert {kind.partition(".")[2] for kind in KINDS if kind.startswith("device.")} == {*CHANCES, *AMOUNTS}


async def ask_and_compare(bench: Bench, device: str) -> tuple[int, int]:
    """Asks once; how many values came, and how many did not. Fails where they differ from the record."""
    points = {point.id: point for point in bench.site.points}
    before = {
        point: (len(bench.record.shown.get(point, ())), len(bench.record.failed.get(point, ()))) for point in points
    }
    came = failed = 0
    for reading in await bench.ask(device):
        shown = bench.record.shown.get(reading.point, [])[before[reading.point][0] :]
        clean = [steps(points[reading.point], it.value) for it in shown if it.clean]
        has_failed = len(bench.record.failed.get(reading.point, ())) > before[reading.point][1]
        if reading.value is None:
            assert not clean or has_failed, f"{reading} although it was shown: {shown}"
            failed += 1
        else:
            assert steps(points[reading.point], reading.value) in clean, f"{reading} was not shown: {shown}"
            came += 1
    return came, failed


@pytest.mark.parametrize("kind", [*CHANCES, *AMOUNTS])
def test_a_fault_of_a_device(kind: str, tmp_path: Path) -> None:
    value = {"late": 0.25, "exception": 4.0}.get(kind, 0.4)

    async def main() -> tuple[int, int]:
        bench = bench_of(tmp_path)
        came = failed = 0
        for device in POLLED:
            bench.wires.model_of(device).set_faults(device, {kind: value})
        for _ in range(60):
            await asyncio.sleep(10)
            for device in POLLED:
                more = await ask_and_compare(bench, device)
                came, failed = came + more[0], failed + more[1]
        return came, failed

    came, failed = run(main())
    if kind in ("silence", "short", "crc"):
        assert 0.5 < came / (came + failed) < 0.75
    elif kind == "exception":
        assert came == 0
    else:
        assert failed == 0


@pytest.mark.parametrize("seed", range(6))
def test_all_faults_at_once_and_damaged_wires(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)

    async def main() -> tuple[int, int]:
        bench = bench_of(tmp_path, seed)
        bench.wires.split = 0.3
        came = failed = 0
        for _ in range(400):
            await asyncio.sleep(chance.choice([0.2, 1.0, 3.0, 10.0]))
            device = chance.choice(POLLED)
            faults = {kind: chance.uniform(0.05, 0.5) for kind in chance.sample(CHANCES, 2)}
            if chance.random() < 0.3:
                faults["late"] = chance.choice([0.1, 0.29, 0.31, 0.8, 3.0])
            if chance.random() < 0.1:
                faults["exception"] = chance.choice([1.0, 2.0, 4.0, 6.0, 11.0])
            bench.wires.model_of(device).set_faults(device, faults if chance.random() < 0.6 else {})
            bench.wires.impair("rs485", "flip", chance.choice([0.0, 0.0, 0.2]))
            bench.wires.impair("rs485", "drop", chance.choice([0.0, 0.0, 0.2]))
            bench.wires.impair("plc", "flip", chance.choice([0.0, 0.2]))
            more = await ask_and_compare(bench, device)
            came, failed = came + more[0], failed + more[1]
        return came, failed

    came, failed = run(main())
    assert came > 800
    assert failed > 300


@pytest.mark.parametrize("kind", [None, *CHANCES, "late", "exception", "flip", "drop"])
def test_a_line_that_is_heard_was_shown(kind: str | None, tmp_path: Path) -> None:
    async def main() -> tuple[int, int, int]:
        bench = bench_of(tmp_path)
        bench.wires.split = 0.3
        if kind in ("flip", "drop"):
            bench.wires.impair("wind", kind, 0.5)  # type: ignore[arg-type]
        elif kind is not None:
            bench.wires.model_of("wind").set_faults("wind", {kind: {"late": 2.0, "exception": 4.0}.get(kind, 0.5)})
        heard = await bench.listen("wind", 2000.0)
        shown = [it.value for it in bench.record.shown.get("wind.speed", ()) if it.clean]
        values = [reading.value for reading in heard if reading.point == "wind.speed"]
        if kind == "twice":
            values = [value for i, value in enumerate(values) if not (i and value == values[i - 1])]
            shown = [value for i, value in enumerate(shown) if not (i and value == shown[i - 1])]
        assert values == shown
        return len(values), len(bench.record.failed.get("wind.speed", ())), len(heard)

    came, failed, _ = run(main())
    if kind in (None, "late"):
        assert (came, failed) == (200, 0)
    elif kind == "exception":
        assert (came, failed) == (0, 200)
    elif kind != "twice":
        assert came + failed == 200
        assert 60 < failed < 140


def test_an_unplugged_port_is_lost_and_comes_back(tmp_path: Path) -> None:
    async def main() -> None:
        bench = bench_of(tmp_path)
        assert (await ask_and_compare(bench, "mine"))[1] == 0
        heard = asyncio.ensure_future(bench.listen("wind", 100.0))
        await asyncio.sleep(20)
        for port in ("rs485", "wind"):
            bench.wires.unplug(port)
        assert {reading.quality for reading in await bench.ask("mine")} == {Quality.NO_ANSWER}
        for wire in bench.site.wires[:1]:
            with pytest.raises(PortLost, match="does not exist"):
                await bench.wires.open_port(wire.port)
        for port in ("rs485", "wind"):
            bench.wires.plug(port)
        await asyncio.sleep(2)
        assert (await ask_and_compare(bench, "mine"))[1] == 0
        assert len(await heard) == 4  # two lines until then

    run(main())


def test_what_is_on_the_wire_when_the_box_dies_reaches_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        bench = bench_of(tmp_path)
        question = bytes.fromhex("05 03 00 00 00 01 85 8e")
        wire = next(wire for wire in bench.site.wires if wire.port.id == "rs485")
        port = await bench.wires.open_port(wire.port)
        with pytest.raises(PortLost, match="in use"):
            await bench.wires.open_port(wire.port)
        await port.write(question)
        await asyncio.sleep(0.01)
        bench.wires.kill()
        with pytest.raises(PortLost):
            await port.write(question)
        again = await bench.wires.open_port(wire.port)
        await asyncio.sleep(1)
        assert again.flush_input() == b""
        assert not bench.record.shown
        await again.write(question)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                assert (await again.read())[:3] == b"\x05\x03\x02"
        await asyncio.sleep(0.1)
        assert list(bench.record.shown) == ["mine.ch4"]

    run(main())


def test_the_same_seed_gives_the_same_record(tmp_path: Path) -> None:
    async def main() -> str:
        bench = bench_of(tmp_path, 7)
        bench.wires.impair("rs485", "flip", 0.1)
        bench.wires.model_of("mine").set_faults("mine", {"silence": 0.3, "noise": 0.3})
        for _ in range(50):
            await asyncio.sleep(10)
            for device in POLLED:
                await bench.ask(device)
        return bench.record.hash

    assert run(main()) == run(main())
