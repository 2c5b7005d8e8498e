"""The power-fail line: what a file, a GPIO line and SIGPWR say, what follows, and how fast, with the real daemon."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import sqlite3
import statistics
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edge.config import load
from edge.errors import SiteFileError
from edge.power_line import FileLine, GpioLine, line_of
from edge.powerfail import BACK_S, HOLD_UP_S, PowerFail
from sim import virtual
from sim.rig import Rig, point_table, port_table, until
from tests.test_cli_site import SITE

WARNING_S = 0.2  # from the line to the last word: what a small capacitor surely lasts
FAILURES = 5
LIVES = 3


# -- what a line says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "failing"),
    [(None, False), (b"0", False), (b"0\n", False), (b"1", True), (b"1\n", True), (b"on battery\n", True)],
)
def test_what_a_file_says(tmp_path: Path, content: bytes | None, failing: bool) -> None:
    file = tmp_path / "power-fail"
    line = FileLine(str(file))
    if content is not None:
        file.write_bytes(content)
    assert line.failing() is failing
    assert line.failing() is failing


def test_a_file_that_is_being_written_is_not_taken_for_one_that_was_touched(tmp_path: Path) -> None:
    file = tmp_path / "power-fail"
    line = FileLine(str(file))
    file.touch()
    assert line.failing() is False  # `echo 0 >` has just emptied it
    file.write_bytes(b"0\n")
    assert line.failing() is False
    file.write_bytes(b"")
    assert [line.failing(), line.failing()] == [False, True]  # touch(1)


def test_a_file_in_a_folder_that_is_not_there_yet_says_nothing(tmp_path: Path) -> None:
    assert FileLine(str(tmp_path / "ups" / "power-fail")).failing() is False
    with pytest.raises(IsADirectoryError):
        FileLine(str(tmp_path)).failing()


class Chip:
    """A GPIO chip as the kernel shows one: fcntl.ioctl on a file that stands in for /dev/gpiochip0."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.high = False
        self.gone = False
        self.requests: list[bytes] = []
        self.flags = 0
        (tmp_path / "gpiochip0").touch()
        opened = os.open
        monkeypatch.setattr("fcntl.ioctl", self.ioctl)
        monkeypatch.setattr("os.open", lambda path, flags: opened(str(path).replace("/dev", str(tmp_path)), flags))

    def ioctl(self, handle: int, call: int, buffer: bytearray) -> int:
        os.fstat(handle)  # an open one
        if self.gone:
            raise OSError(errno.ENODEV, "No such device")
        if call == 0xC250B407:
            self.requests.append(bytes(buffer))
            self.flags = struct.unpack_from("=Q", buffer, 288)[0]
            struct.pack_into("=i", buffer, 588, os.dup(handle))
        else:
            assert (call, struct.unpack("=QQ", buffer)[1]) == (0xC010B40E, 1)
            struct.pack_into("=Q", buffer, 0, int(self.high != bool(self.flags & 2)))
        return 0


def open_handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("low", [False, True])
def test_what_a_gpio_line_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, low: bool) -> None:
    chip = Chip(monkeypatch, tmp_path)
    line = line_of(f"gpio:gpiochip0/17{'/low' if low else ''}")
    assert isinstance(line, GpioLine)
    chip.high = low
    assert line.failing() is False
    chip.high = not low
    assert line.failing() is True
    assert len(chip.requests) == 1
    # Offsets as a C compiler gives them for struct gpio_v2_line_request of linux/gpio.h.
    request = chip.requests[0]
    assert len(request) == 592
    assert struct.unpack_from("=I", request, 0)[0] == 17
    assert request[256:288].rstrip(b"\0") == b"fengsui"
    assert struct.unpack_from("=QI", request, 288) == (4 + 2 * low, 0)
    assert struct.unpack_from("=I", request, 560)[0] == 1


def test_a_gpio_chip_that_goes_and_returns_is_asked_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chip = Chip(monkeypatch, tmp_path)
    line = GpioLine("gpiochip0", 17, low=False)
    line.failing()
    before = open_handles()
    chip.gone = True
    for _ in range(3):
        with pytest.raises(OSError, match="No such device"):
            line.failing()
    chip.gone, chip.high = False, True
    assert line.failing() is True
    assert len(chip.requests) == 2
    assert open_handles() == before, "a handle was left open"


@pytest.mark.parametrize(
    "setting",
    ["file:/run/power-fail", "gpio:gpiochip0/17", "gpio:gpiochip4/27/low", "file:/sys/class/gpio/gpio17/value"],
)
def test_settings_that_are_right(tmp_path: Path, setting: str) -> None:
    (tmp_path / "site.toml").write_text(f'{SITE}[store]\npower_fail = "{setting}"\n')
    assert load(tmp_path / "site.toml").store.power_fail == setting


@pytest.mark.parametrize("setting", ["", "/run/x", "file:run/x", "file:", "gpio:17", "gpio:gpiochip0", "gpio:chip0/1"])
def test_settings_that_are_wrong_are_told(tmp_path: Path, setting: str) -> None:
    (tmp_path / "site.toml").write_text(f'{SITE}[store]\npower_fail = "{setting}"\n')
    with pytest.raises(SiteFileError, match=r"store → power_fail: found .*; allowed: file:/run/power-fail, gpio:"):
        load(tmp_path / "site.toml")


# -- what follows -------------------------------------------------------------------------------------------------


class Supply:
    """A line that a test holds, and what was done about it, with the (virtual) time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bad = False
        self.error: OSError | None = None
        self.commits: list[float] = []
        self.words: list[dict[str, Any]] = []
        self.said: list[str] = []
        monkeypatch.setattr("edge.powerfail.line_of", lambda setting: self if setting else None)

    def failing(self) -> bool:
        if self.error is not None:
            raise self.error
        return self.bad

    async def commit(self) -> None:
        self.commits.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)

    def part(self, setting: str = "file:/x") -> PowerFail:
        return PowerFail(setting, self.commit, self.words.append, lambda _about, text: self.said.append(text))


def story(part: Callable[[], PowerFail], tell: Callable[[PowerFail], Awaitable[None]]) -> None:
    async def run() -> None:
        power = part()
        running = asyncio.ensure_future(power.run())
        await tell(power)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    virtual.run(run())


def test_a_failure_and_a_return_are_each_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    supply = Supply(monkeypatch)

    async def tell(power: PowerFail) -> None:
        await asyncio.sleep(1)
        assert not supply.commits
        supply.bad = True
        began_s = asyncio.get_running_loop().time()
        await asyncio.sleep(3)
        assert supply.commits[0] - began_s <= 0.06
        assert power.show()["failing_s"] == pytest.approx(3, abs=0.1)
        supply.bad = False
        await asyncio.sleep(BACK_S + 0.2)
        assert power.show()["failing_s"] is None

    story(supply.part, tell)
    assert supply.words == [{"power": "failing"}, {"power": "back", "gone_s": 3}]
    assert supply.said == ["is failing: what waited is committed, the province is told", "is back after 3 s"]


def test_while_it_fails_what_comes_in_is_committed_each_second_as_long_as_a_capacitor_may_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    supply = Supply(monkeypatch)

    async def tell(_power: PowerFail) -> None:
        supply.bad = True
        await asyncio.sleep(3600)

    story(supply.part, tell)
    assert HOLD_UP_S * 0.8 <= len(supply.commits) <= HOLD_UP_S + 2
    assert len(supply.words) == 1


def test_a_line_that_flutters_is_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    supply = Supply(monkeypatch)

    async def tell(power: PowerFail) -> None:
        for _ in range(100):
            supply.bad = not supply.bad
            await asyncio.sleep(0.13)
        supply.bad = False
        await asyncio.sleep(BACK_S * 2)
        assert power.failures == 1

    story(supply.part, tell)
    assert [word["power"] for word in supply.words] == ["failing", "back"]
    assert len(supply.said) == 2


def test_a_line_that_cannot_be_read_is_said_once_and_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    supply = Supply(monkeypatch)
    supply.error = PermissionError(errno.EACCES, "Permission denied")

    async def tell(power: PowerFail) -> None:
        await asyncio.sleep(600)
        assert power.show()["unreadable"] == "Permission denied"
        supply.error, supply.bad = None, True
        await asyncio.sleep(2)

    story(supply.part, tell)
    assert len(supply.said) == 3
    assert "can not be read: Permission denied" in supply.said[0]
    assert "can be read again" in supply.said[1]
    assert supply.words == [{"power": "failing"}]


def test_a_signal_needs_no_line_and_many_are_one_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    supply = Supply(monkeypatch)

    async def tell(power: PowerFail) -> None:
        await asyncio.sleep(1)
        for _ in range(20):
            power.signalled()
            await asyncio.sleep(0.1)
        assert len(supply.commits) == 20
        await asyncio.sleep(60)
        power.signalled()
        await asyncio.sleep(0.1)

    story(lambda: supply.part(""), tell)
    assert supply.words == [{"power": "failing", "by": "SIGPWR"}] * 2
    assert len(supply.said) == 2


# -- the real daemon ----------------------------------------------------------------------------------------------


def last_words(rig: Rig) -> list[dict[str, Any]]:
    words = [json.loads(row[0]) for row in rig.province("SELECT body FROM statuses ORDER BY seq")]
    return [word for word in words if "power" in word]


def power_site(rig: Rig, folder: Path) -> Path:
    """Ten points ten times a second, committed once a minute: what a cut would cost without a warning."""
    slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "10")
    rig.write_site(
        port_table("bus", slaves.address) + point_table("plc", "bus", 10, "100ms"), commit_every="60s", batch="1s"
    )
    file = folder / "power-fail"
    text = rig.site_file.read_text()
    rig.site_file.write_text(text.replace("[store]\n", f'[store]\npower_fail = "file:{file}"\n', 1))
    return file


def test_the_last_word_is_at_the_province_within_200_ms(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.start_broker()
        rig.start_province()
        file = power_site(rig, tmp_path)
        rig.start_gateway(first="import edge.powerfail; edge.powerfail.BACK_S = 0.3")
        until("readings", lambda: rig.one("SELECT COUNT(*) FROM readings"))
        until("the link is up", lambda: rig.ask("links")["fibre"]["last_receipt_age_s"] is not None)
        took_s = []
        for failure in range(FAILURES):
            began_s = time.monotonic()
            file.write_text("1\n")
            until("the last word", lambda had=2 * failure: len(last_words(rig)) > had)  # type: ignore[misc]
            took_s.append(time.monotonic() - began_s)
            file.write_text("0\n")
            until("it is back", lambda had=2 * failure + 1: len(last_words(rig)) > had)  # type: ignore[misc]
        print("from the line to the province's database, s:", [round(took, 3) for took in took_s])
        assert statistics.median(took_s) <= WARNING_S
        status = rig.ask("status")
        assert status["power"]["failures"] == FAILURES
        assert status["power"]["failing_s"] is None
        assert "is back after 0 s" in [event["text"] for event in status["events"] if event["about"] == "power"]
        os.kill(rig.pid("gateway"), signal.SIGPWR)
        until("the signal's last word", lambda: last_words(rig)[-1].get("by") == "SIGPWR")
        assert rig.alive("gateway")


def test_what_waited_is_on_the_disk_200_ms_after_the_line_and_survives_the_end(tmp_path: Path) -> None:
    """No network, `commit_every` a minute: without the line, the kill would take all of it."""
    ages_ms = []
    with Rig(tmp_path) as rig:
        rig.start_broker().kill()
        file = power_site(rig, tmp_path)
        for _ in range(LIVES):
            file.unlink(missing_ok=True)
            rig.start_gateway()
            until("it runs", lambda: rig.asked("status"))
            time.sleep(1.5)
            failed_ms = time.time() * 1000
            file.touch()
            time.sleep(WARNING_S)
            rig.kill("gateway")
            with contextlib.closing(sqlite3.connect(rig.store / "outbox.db")) as db:
                ages_ms.append(failed_ms - db.execute("SELECT MAX(at_ms) FROM entry WHERE kind = 0").fetchone()[0])
                bodies = [row[0] for row in db.execute("SELECT body FROM entry WHERE kind = 2")]
            assert any(b"failing" in body for body in bodies)
    print("age of the newest round on the disk when the line came, ms:", [round(age) for age in ages_ms])
    assert statistics.median(ages_ms) < 500, "rounds were ready and not committed"
