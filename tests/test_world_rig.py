"""Any site's instruments on real ports: commands, the copy of the site file, and the real driver against them."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from drivers.modbus import DRIVER as MODBUS
from drivers.port import open_port
from edge.config import Site
from edge.config import load as load_site
from edge.contract import PolledSensor
from edge.errors import DeviceSilent, PortLost
from sim.cli import group
from sim.world import scenario
from sim.world.bench import run
from sim.world.hands import FOR_EVER_S, parse
from sim.world.nouns import START_MS, Expect, Story, Trouble
from sim.world.rig_cli import Rigged, _until_failed, on_bench
from sim.world.scenario_site import with_key, with_ports
from sim.world.shift import later

EXAMPLE = Path(__file__).parent.parent / "deploy" / "sites" / "tailings_pond.toml"
THINGS = {"device": ["piezo-1"], "point": ["pond-level"], "port": ["rs485"]}


def a_site(folder: Path, opens: dict[str, str]) -> Site:
    found = scenario.load(scenario.FOLDER / "quick.toml")
    path = folder / "site.toml"
    path.write_text(with_ports(found.story.site, opens), "utf-8")
    return load_site(path)


def sensor_of(site: Site, device: str) -> PolledSensor:
    for wire in site.wires:
        if wire.driver.name == "modbus" and device in {spec.id for spec in wire.devices}:
            assert MODBUS.sensors is not None
            sensor = MODBUS.sensors(wire.port, open_port, wire.devices)[device]
            assert isinstance(sensor, PolledSensor)
            return sensor
    raise KeyError(device)


def test_the_real_driver_reads_what_the_bench_shows(tmp_path: Path) -> None:
    async def main() -> None:
        rigged, site = await on_ports(tmp_path)
        try:
            for device, points in (("piezo-1", ["phreatic-1"]), ("level-radar", ["pond-level", "beach-length"])):
                readings = await sensor_of(site, device).read(points)
                shown = {point: rigged.record.shown[point][-1] for point in points}
                assert [it.point for it in readings] == points
                assert [it.value for it in readings] == pytest.approx([shown[point].value for point in points])
                assert all(it.clean for it in shown.values())
        finally:
            await rigged.bench.close()

    run(main())


def test_commands_change_what_is_read(tmp_path: Path) -> None:
    async def main() -> None:
        rigged, site = await on_ports(tmp_path)
        radar, hands = sensor_of(site, "level-radar"), rigged.hands
        try:
            assert await hands.obey("point.is pond-level 420.5 for 100ms") == "ok"
            assert (await radar.read(["pond-level"]))[0].value == pytest.approx(420.5)
            await asyncio.sleep(0.15)
            assert (await radar.read(["pond-level"]))[0].value != pytest.approx(420.5)
            assert await hands.obey("device.silence level-radar") == "ok"
            with pytest.raises(DeviceSilent):
                await radar.read(["pond-level"])
            assert await hands.obey("clear all") == "ok"
            assert (await radar.read(["pond-level"]))[0].value is not None
            assert await hands.obey("stats") == "ok pond-level=3"
            assert [it.kind for _, it in rigged.record.troubles] == ["point.is", "device.silence"]
        finally:
            await rigged.bench.close()

    run(main())


def test_a_pulled_plug_is_lost_and_comes_back_under_its_name(tmp_path: Path) -> None:
    async def main() -> None:
        rigged, site = await on_ports(tmp_path)
        try:
            for device, point, port in (("piezo-1", "phreatic-1", "rs485"), ("level-radar", "pond-level", "radar")):
                sensor = sensor_of(site, device)
                assert (await sensor.read([point]))[0].value is not None
                assert await rigged.hands.obey(f"port.unplug {port}") == "ok"
                with pytest.raises(PortLost):
                    await sensor.read([point])
                assert await rigged.hands.obey(f"clear port.unplug {port}") == "ok"
                again = sensor_of(site, device)  # the old one waits a second before it tries again
                assert (await again.read([point]))[0].value is not None
        finally:
            await rigged.bench.close()

    run(main())


def test_nobody_hears_what_is_said_on_a_closed_port(tmp_path: Path) -> None:
    async def main() -> None:
        rigged, _ = await on_ports(tmp_path)
        try:
            await asyncio.sleep(2.5)  # its mast prints every 2 s
            assert "wind-speed" not in rigged.record.shown
        finally:
            await rigged.bench.close()

    run(main())


async def on_ports(folder: Path) -> tuple[Rigged, Site]:
    rigged = on_bench(a_site(folder, {}), 1, {}, (), folder)
    return rigged, a_site(folder, await rigged.bench.open())


def test_one_port_is_left_to_the_real_instrument(tmp_path: Path) -> None:
    async def main() -> None:
        rigged = on_bench(a_site(tmp_path, {}), 1, {}, ("rs485",), tmp_path)
        try:
            assert (await rigged.bench.open()).keys() == {"weather", "radar"}
            assert "needs a device: weather-mast level-radar" in await rigged.hands.obey("device.crc piezo-1 0.1")
        finally:
            await rigged.bench.close()

    run(main())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("device.crc piezo-1 0.3 for 2min", Trouble("device.crc", 5.0, 120.0, "piezo-1", 0.3)),
        ("device.silence piezo-1", Trouble("device.silence", 5.0, FOR_EVER_S, "piezo-1", 1.0)),
        ("point.is pond-level 0", Trouble("point.is", 5.0, FOR_EVER_S, "pond-level", 0.0)),
        ("port.unplug rs485 for 1s", Trouble("port.unplug", 5.0, 1.0, "rs485", 0.0)),
    ],
)
def test_words(text: str, wanted: Trouble) -> None:
    assert parse(text, 5.0, THINGS) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("explode", "is none of device.silence"),
        ("power.cut", "is none of"),
        ("device.crc", "needs a device: piezo-1"),
        ("device.crc piezo-9 0.3", "needs a device: piezo-1"),
        ("point.is pond-level", "write point.is pond-level VALUE"),
        ("port.unplug rs485 3", "write port.unplug rs485, and for"),
        ("port.unplug rs485 for ever", "write it like"),
        ("device.crc piezo-1 much", "'much' is not a number"),
    ],
)
def test_words_that_are_not_understood(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        parse(text, 0.0, THINGS)


def test_a_site_file_with_other_ports_and_keys_keeps_the_rest() -> None:
    text = EXAMPLE.read_text("utf-8")
    changed = with_key(with_ports(text, {"radar": "tcp:1.2.3.4:5"}), "store", "path", "/tmp/x")
    other = [(a, b) for a, b in zip(text.splitlines(), changed.splitlines(), strict=True) if a != b]
    assert [b for _, b in other] == ['path = "/tmp/x"', 'open = "tcp:1.2.3.4:5"']
    assert 'socket = "/s"' in with_key(text, "gateway", "socket", "/s")


def test_the_command_writes_a_site_that_runs(tmp_path: Path) -> None:
    arguments = ["rig", str(EXAMPLE), "--folder", str(tmp_path), "--real", "beidou", "--stop-at-eof"]
    done = subprocess.run(
        [sys.executable, "-c", "from sim.cli import main; main()", *arguments],
        input="point.is pond-level 421\nnonsense\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[5].startswith("beidou: serial:/dev/serial/by-path")
    assert [line.split(":")[0] for line in lines[6:8]] == ["siren-bus", "voice"], "outputs are not played"
    assert lines[8] == f"ready; now run: fengsui run {tmp_path / 'site.toml'}"
    assert lines[9] == "ok"
    assert lines[10].startswith("error: 'nonsense' is none of")
    copy = load_site(tmp_path / "site.toml", check_files=True)
    assert copy.store.folder == tmp_path / "store"
    assert {port.open.split(":")[0] for port in copy.ports} == {"serial", "tcp"}


@pytest.mark.parametrize(("device", "point"), [("piezo-1", "phreatic-1"), ("level-radar", "pond-level")])
def test_a_model_that_raises_is_a_fault_of_the_simulator(
    device: str, point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a serial line and over TCP."""

    async def main() -> None:
        rigged, site = await on_ports(tmp_path)
        monkeypatch.setattr("sim.model_modbus.ModbusModel.hear", broken_hear)
        try:
            with pytest.raises((DeviceSilent, PortLost)):
                await sensor_of(site, device).read([point])
            async with asyncio.timeout(5):
                await rigged.bench.failed.wait()
            assert rigged.bench.faults[0].promise == "the simulator"
            assert "a fault of the simulator, not of the gateway" in rigged.bench.faults[0].what
            assert "ValueError: byte must be in range(0, 256)" in rigged.bench.faults[0].what
        finally:
            await rigged.bench.close()

    run(main())
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def broken_hear(*_: object) -> None:
    raise ValueError("byte must be in range(0, 256)")


def test_a_fault_of_the_simulator_ends_the_rig(tmp_path: Path) -> None:
    async def main() -> None:
        rigged, _ = await on_ports(tmp_path)
        monkeypatched = rigged.bench.wires.model_of("weather-mast")
        monkeypatched.say = broken_hear  # type: ignore[method-assign, assignment]
        held = os.open(tmp_path / "weather", os.O_RDWR | os.O_NOCTTY)
        try:
            with pytest.raises(click.ClickException, match="a fault of the simulator, not of the gateway"):
                async with asyncio.timeout(10):
                    await _until_failed(asyncio.sleep(60), rigged.bench)
        finally:
            os.close(held)
            await rigged.bench.close()

    run(main())


def test_what_is_closed_is_not_plugged_in_again(tmp_path: Path) -> None:
    async def main() -> None:
        rigged, _ = await on_ports(tmp_path)
        assert await rigged.hands.obey("port.unplug rs485 for 50ms") == "ok"
        await rigged.bench.close()
        await asyncio.sleep(0.2)
        assert not [path for path in tmp_path.iterdir() if path.is_symlink()]

    run(main())


@pytest.mark.parametrize("end", ["quit", "SIGTERM"])
def test_a_rig_that_ends_leaves_no_ports(end: str, tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s "mine"'.replace(" ", "-")
    arguments = [sys.executable, "-c", "from sim.cli import main; main()", "rig", str(EXAMPLE), "--folder", str(folder)]
    with subprocess.Popen(
        [*arguments, "--real", "beidou"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as rig:
        assert rig.stdin is not None
        assert rig.stdout is not None
        ready = next(line for line in rig.stdout if line.startswith("ready"))
        assert shlex.split(ready.partition("run: ")[2]) == ["fengsui", "run", str(folder / "site.toml")]
        assert (folder / "rs485").is_symlink()
        print("port.unplug rs485 for 30s", file=rig.stdin, flush=True)
        assert rig.stdout.readline() == "ok\n"
        if end == "quit":
            print("quit", file=rig.stdin, flush=True)
        else:
            rig.terminate()
        assert rig.wait(20) == {"quit": 0, "SIGTERM": 143}[end]
    assert not [path for path in folder.iterdir() if path.is_symlink()]


def test_a_folder_with_spaces_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(group, ["rig", str(EXAMPLE), "--folder", str(tmp_path / "a b")])
    assert done.exit_code == 2
    assert "has no spaces: choose another folder" in " ".join(done.output.split())
    assert not (tmp_path / "a b").exists()


def test_an_unknown_port_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from sim.cli import main; main()", "rig", str(EXAMPLE), "--real", "rs232"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "--real rs232: the site has no such port; it has rs485" in done.stderr


def test_later() -> None:
    story = Story("s", "", 1, 100.0, (Trouble("road.cut", 5.0, 2.0),), (Expect("l", "red", 6.0, 9.0),))
    moved = later(story, 1000.0)
    assert (moved.lasts_s, moved.troubles[0].at_s, moved.troubles[0].for_s) == (1100.0, 1005.0, 2.0)
    assert (moved.expects[0].from_s, moved.expects[0].by_s) == (1006.0, 1009.0)


def test_the_real_loop_counts_from_the_worlds_beginning() -> None:
    import time

    async def main() -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        assert abs(began_s - (time.time() - START_MS / 1000)) < 1.0
        await asyncio.sleep(0.05)
        assert 0.045 < loop.time() - began_s < 5.0

    run(main())
