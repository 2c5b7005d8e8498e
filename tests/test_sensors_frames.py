"""Sensor templates against what their sources print: whole frames, lines and worked examples, through the real drivers.

Each row names its source on the line. A template that is wrong in register, type, order or scale fails here, where the
simulator, which plays from the same template, would not see it.
"""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from drivers.modbus.settings import registers_of
from drivers.modbus.wire_gauge import VibratingWire, converter, problems
from edge.contract import ListenedSensor, PolledSensor, Port, PortSettings
from sim.modbus_slave import crc16
from sim.virtual import run
from tests.sensor_sites import choice, site_text
from tests.world_wires import site_of

# cnblogs.com/wenkon/p/17250784.html: channel 1, fourteen without a wire, channel 16, four temperatures
VTN416 = "010328" + "3119" + "0000" * 14 + "3413" + "270F" * 4 + "419E"


class Wire:
    """A port that gives one answer to every question, and keeps the questions."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self._ready = asyncio.Event()

    async def read(self) -> bytes:
        await self._ready.wait()
        self._ready.clear()
        return self.answer

    async def write(self, data: bytes) -> None:
        self.asked.append(data)
        self._ready.set()

    def flush_input(self) -> bytes:
        return b""

    def close(self) -> None: ...


def asked_and_read(folder: Path, name: str, shorts: list[str], answer: str) -> tuple[list[str], list[float | None]]:
    """The questions of the driver, and the values it makes of one answer."""
    raw = bytes.fromhex(answer)
    assert crc16(raw[:-2]) == raw[-2:], "the source's own check value"
    text = site_text(name, choice(shorts) + f"\nunit = {raw[0]}")
    site = site_of(folder, text)
    (site_wire,) = site.wires
    wire = Wire(raw)

    async def open_port(_settings: PortSettings) -> Port:
        return wire

    async def main() -> list[float | None]:
        assert site_wire.driver.sensors is not None
        sensor = site_wire.driver.sensors(site_wire.port, open_port, site_wire.devices)["d"]
        assert isinstance(sensor, PolledSensor)
        return [reading.value for reading in await sensor.read([f"d.{short}" for short in shorts])]

    values: list[float | None] = run(main())
    return [data.hex().upper() for data in wire.asked], values


@pytest.mark.parametrize(
    ("name", "shorts", "question", "answer", "values"),
    [
        # wiki.dfrobot.com/sen0492/docs/21034, WT53R-485 Manual v23-0720 page 25: 1803 mm
        ("dfrobot-sen0492", ["distance"], "500300340001C845", "500302070B067F", [1.803]),
        # wiki.dfrobot.com/sen0483/docs/20112: the question; 0025h is 3.7 m/s
        ("dfrobot-sen0483", ["wind-speed"], "0203000000018439", "0203020025", [3.7]),
        # wiki.dfrobot.com/sen0676/docs/20081: the questions
        ("dfrobot-sen0676", ["distance"], "010300010001D5CA", "01030204D2", [1.234]),
        ("dfrobot-sen0676", ["level-by-sensor"], "010300030001740A", "01030204D2", [1.234]),
        # sonbus.rdo.cn/english/products/XM9505.html: 536 switchings of 0.1 mm
        ("xunchip-xm9505", ["rain-total"], "010300000001840A", "0103020218B92E", [53.6]),
        # sonbus.com/english/products/SM2130-CH4.html: 79h is 121 counts
        ("sonbest-sm2130-ch4", ["methane"], "010300000001840A", "010302007979A6", [121]),
        # rain[e]H3 manual, page 40: register 31001 goes as 7919h; 1 is 0.1 mm
        ("lambrecht-raine", ["rain-total-coarse"], "030479190001F8B3", "0304020001", [0.1]),
        # Seeed user guide 5.3: 0702h is 17.94 degC; 071Dh is 18.21 %
        ("seeed-s-soil-mtec-02", ["temperature"], "", "0103020702", [17.94]),
        ("seeed-s-soil-mtec-02", ["moisture"], "", "010302071D", [18.21]),
        ("seeed-s-soil-mtec-02", ["temperature"], "", "010302FF05", [-2.51]),  # it prints -2.5
        # wiki.dfrobot.com/sen0482/docs/19708: 028Fh is 65.5 deg
        ("dfrobot-sen0482", ["wind-direction"], "", "020302028F", [65.5]),
        # qianjia.com 2021-11/15_40690: three totals, the first 144.1 mm
        (
            "unnamed-rain-three-totals",
            ["rain-total", "rain-total-2", "rain-total-3"],
            "02030000000305F8",
            "02030605A1000800BA8878",
            [144.1, 0.8, 18.6],
        ),
        # CSDN 127531919: the question; cm
        ("unnamed-level-cm", ["level"], "0203000000018439", "0203020091", [1.45]),
        # zdjcyun/Glink, KpTem.js: tenths with a sign
        ("changsha-kunpeng-temperature", ["temperature"], "", "010302FF9C", [-10.0]),
        # Balluff BSI R11A0, table "error indicator": 55555
        ("balluff-bsi-r11a0", ["angle"], "", "010402D903", [None]),
        # Lambrecht: FF676981h is its mark, -9999999
        ("lambrecht-raine", ["rain-total"], "", "030404FF676981", [None]),
    ],
)
def test_frames_of_the_makers(
    name: str, shorts: list[str], question: str, answer: str, values: list[float | None], tmp_path: Path
) -> None:
    body = bytes.fromhex(answer)
    if body[2] + 3 == len(body):  # the source gives the number only: the check value is ours
        answer += crc16(body).hex()
    asked, found = asked_and_read(tmp_path, name, shorts, answer)
    assert found == values
    assert not question or asked[0] == question


def test_vtn416_answers_twenty_registers(tmp_path: Path) -> None:
    """The maker's page: 3119h on channel 1 is 1256.9 Hz, 0 on channel 2 is nobody, 3413h on channel 16 is 1333.1 Hz."""
    raw = bytes.fromhex(VTN416)
    assert crc16(raw[:-2]) == raw[-2:]
    shorts = [*(f"frequency-{n}" for n in range(1, 17)), "pressure-1"]
    sixteen = raw[:2] + bytes([32]) + raw[3:35]
    asked, values = asked_and_read(tmp_path, "hebei-wenkong-vtn416", shorts, (sixteen + crc16(sixteen)).hex())
    assert asked[0][:12] == "010300640010"
    assert values == [1256.9, *[None] * 14, 1333.1, pytest.approx(0.0005 * (2876.3**2 - 1256.9**2))]


def test_vtn416_without_a_thermometer_has_no_corrected_pressure(tmp_path: Path) -> None:
    """The maker's question and whole answer: 270Fh, no temperature, on all four."""
    shorts = ["frequency-1", "pressure-1", "corrected-pressure-1", *(f"temperature-{n}" for n in range(1, 5))]
    shorts += ["frequency-9", "frequency-16"]  # so near that all is read at once
    asked, values = asked_and_read(tmp_path, "hebei-wenkong-vtn416", shorts, VTN416)
    assert asked == ["010300640014041A"]
    assert values == [1256.9, pytest.approx(0.0005 * (2876.3**2 - 1256.9**2)), *[None] * 6, 1333.1]
    raw = bytes.fromhex(VTN416)
    warm = raw[:35] + (282).to_bytes(2) + raw[37:43]
    _, values = asked_and_read(tmp_path, "hebei-wenkong-vtn416", shorts, (warm + crc16(warm)).hex())
    assert values[2] == pytest.approx(0.0005 * (2876.3**2 - 1256.9**2) + 0.04 * (28.2 - 18.2))
    assert values[3] == pytest.approx(28.2)


def heard(folder: Path, name: str, line: str) -> dict[str, float | None]:
    """What the driver makes of one line."""
    (site_wire,) = site_of(folder, site_text(name)).wires
    wire = Wire((line + "\r\n").encode())

    async def open_port(_settings: PortSettings) -> Port:
        wire._ready.set()
        return wire

    async def main() -> dict[str, float | None]:
        assert site_wire.driver.sensors is not None
        sensor = site_wire.driver.sensors(site_wire.port, open_port, site_wire.devices)["d"]
        assert isinstance(sensor, ListenedSensor)
        found: dict[str, float | None] = {}

        async def collect() -> None:
            async for readings in sensor.listen():
                found.update({reading.point.removeprefix("d."): reading.value for reading in readings})
                return

        async def again() -> None:
            await asyncio.sleep(5)  # the first line after opening counts only behind a silence
            wire._ready.set()

        await asyncio.wait([asyncio.ensure_future(collect()), asyncio.ensure_future(again())], timeout=20)
        return found

    values: dict[str, float | None] = run(main())
    return values


@pytest.mark.parametrize(
    ("name", "line", "values"),
    [
        (  # receiverhelp.trimble.com LLQ: no grid set, so no coordinates
            "trimble-alloy-llq",
            "$GPLLQ,034137.00,210712,,M,,M,3,15,0.011,,M*15",
            {"east": None, "north": None, "up": None, "fix": 3, "accuracy": 11},
        ),
        (  # solutions.abtech.com, Leica iCON gps 80 A.13: 1 cm east and 20 mm south of the example's zero, 20 mm up
            "leica-icon80-llq",
            "$GNLLQ,154149.00,111414,546629.191,M,5250782.727,M,1,20,3.880,367.387,M*1B",
            {"east": 10, "north": -20, "up": -6, "fix": 1, "accuracy": 3880},
        ),
        (  # Trimble 5700 User Guide, PTNL,VGK; the line is broken in print and its check value with it: 09 is ours
            "trimble-vgk",
            "$PTNL,VGK,160159.00,010997,-0000.161,00009.985,-0000.002,3,07,1,4,M*09",
            {"east": -10146, "north": 10146, "up": 0},  # the example has east -0.161 m and north 9.985 m
        ),
        (  # WXT520 User's Guide, aR0, with average wind and Rc in mm
            "vaisala-wxt520",
            "0R0,Dm=009D,Sm=0.2M,Ta=23.3C,Ua=37.5P,Pa=996.8H,Rc=0.00M,Vs=12.0V,Vh=0.0N",
            {"wind-direction": 9, "wind-speed": 0.2, "temperature": 23.3, "humidity": 37.5, "pressure": 996.8},
        ),
        (  # the same, with wind that could not be measured
            "vaisala-wxt520",
            "0R0,Dm=000#,Sm=0.0#,Ta=-3.3C,Ua=37.5P,Pa=996.8H,Rc=1.25M",
            {"wind-direction": None, "wind-speed": None, "temperature": -3.3, "rain-total": 1.25},
        ),
        (  # Hesai DM100 User's Manual, table 3
            "hesai-dm100",
            "$00318,02147,00735,00999,00036,00024,-0078,00000,003,000,010,000*3C",
            {"methane": 318},
        ),
        ("hesai-dm100", "$00318,02147,00735,00999,00036,00024,-0078,00000,003,000,010,007*3B", {}),  # its error 7
    ],
)
def test_lines_of_the_makers(name: str, line: str, values: dict[str, float | None], tmp_path: Path) -> None:
    found = heard(tmp_path, name, line)
    assert {key: found.get(key, "nothing") for key in values} == values
    assert bool(found) == bool(values)


@pytest.mark.parametrize(
    ("wire", "frequency_hz", "temperature", "value"),
    [
        (VibratingWire(k=0.0005, f0=2876.3), 2876.3, None, 0.0),
        (VibratingWire(k=0.0005, f0=2876.3), 2800.0, None, 0.0005 * (2876.3**2 - 2800.0**2)),
        (VibratingWire(g=0.5, r0=8273.10169), 2800.0, None, 0.0005 * (2876.3**2 - 2800.0**2)),  # the same in digits
        (VibratingWire(k=-0.0005, f0=2876.3), 2800.0, None, -0.0005 * (2876.3**2 - 2800.0**2)),
        (VibratingWire(k=0.0005, f0=2876.3, b=0.04, t0=18.2, temperature="t"), 2876.3, 8.2, -0.4),
        (VibratingWire(k=0.0005, f0=2876.3, b=0.04, t0=18.2, temperature="t"), 2876.3, None, None),
        # A·R² + B·R + C with A = -2e-6, B = -0.2 and C such that R0 = 9000 is 0
        (VibratingWire(g=0.2, r0=9000, a=-2e-6), 8500**0.5 * 1000**0.5, None, -2e-6 * (8500**2 - 9000**2) + 100),
    ],
)
def test_vibrating_wire_by_its_sheet(
    wire: VibratingWire, frequency_hz: float, temperature: float | None, value: float | None
) -> None:
    assert not list(problems(wire))
    found = converter(wire)(frequency_hz, temperature)
    assert found == (None if value is None else pytest.approx(value, abs=1e-6))


@pytest.mark.parametrize("frequency_hz", [1e76, 1e160, 1.79e308, -1.79e308])
def test_what_no_wire_sings_is_no_value_and_stops_nothing(frequency_hz: float) -> None:
    """As an f64 register may hold, of a data logger whose order of words was mistaken."""
    for wire in (VibratingWire(k=0.0005, f0=2876.3), VibratingWire(g=0.2, r0=9000, a=-2e-6)):
        value = converter(wire)(frequency_hz, None)
        assert value is not None
        assert not math.isfinite(value) or abs(value) > 1e100


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (VibratingWire(k=0.0005, f0=1e308), "f0 is in Hz"),
        (VibratingWire(g=0.5, r0=8.3e9), "r0 in digits"),
        (VibratingWire(), "needs k and f0"),
        (VibratingWire(k=0.0005), "needs k and f0"),
        (VibratingWire(k=0.0005, r0=8000), "needs k and f0"),
        (VibratingWire(k=0.0005, f0=2800, g=1), "needs k and f0"),
        (VibratingWire(k=0, f0=2800), "the same value at every frequency"),
        (VibratingWire(k=0.0005, f0=2800, b=0.1), "b needs t0 and temperature"),
        (VibratingWire(k=0.0005, f0=2800, b=0.1, t0=10), "b needs t0 and temperature"),
    ],
)
def test_wrong_sheets(wire: VibratingWire, said: str) -> None:
    (problem,) = problems(wire)
    assert said in problem


def test_a_gauges_temperature_is_another_point_of_its_device(tmp_path: Path) -> None:
    text = site_text("changsha-kunpeng-wire")
    for name, said in (("other.temperature", "is no point of d"), ("d.pressure", "is computed from a wire itself")):
        change = f'[[device.point]]\npoint = "pressure"\nvibrating_wire = {{ k = 1, f0 = 2, temperature = "{name}" }}\n'
        with pytest.raises(Exception, match=said):
            site_of(tmp_path, text + change)
    assert registers_of(site_of(tmp_path, text).devices[0].spec.points["d.pressure"]) == 1
