"""The figures of a disk that wears, and when a person is told: pure, fed with samples of invented disks."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from edge import wear
from edge.cli.verbs import fengsui
from edge.wear import HOUR_S, Counters, Sample, Wear, parse_block_stat, parse_self_io
from tests.cli_daemon import STATUS, daemon, says

# Of a machine with an eMMC, Linux 6.1 (17 fields) and of one with Linux 4.19 (11 fields).
STAT_17 = "  533746    61940 17182378   248246  2072497   430876 26182240   162072        0   132844   452532   213520"
STAT_17 += "       46  8808192    15329   681947    26884\n"
STAT_11 = "    8374     2014   483928    11160     3344     2992    66024    65896        0    15104    77012\n"
SELF_IO = (
    "rchar: 6976\nwchar: 12\nsyscr: 10\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 8192000\ncancelled_write_bytes: 4096\n"
)


class World:
    """A disk whose commits take `commit_s`, one a second, of `size` bytes each."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.written = 0
        self.now_s = 1000.0
        self.commits = 0
        self.wear = Wear(lambda _about, text: self.said.append(text), self.counters)

    def counters(self) -> Counters:
        return Counters(self.written, 3 * self.written, 2 * self.commits)

    def run(self, seconds: int, commit_s: float, size: int = 1000, *, durable: bool = True) -> None:
        for _ in range(seconds):
            self.now_s += 1
            self.commits += 1
            self.written += size
            self.wear.take(Sample(self.now_s, self.commits, commit_s, durable))


def test_the_figures_of_a_steady_disk() -> None:
    world = World()
    world.run(3 * 3600, 0.010)
    shown = world.wear.show()
    assert shown["commits"] == 3 * 3600
    assert shown["commits_per_day"] == pytest.approx(86_400, rel=0.01)
    assert shown["commit_ms"] == {"median": 10.0, "worst": 10.0}
    assert shown["process_bytes_per_day"] == pytest.approx(86_400_000, rel=0.01)
    assert shown["disk_bytes_per_day"] == pytest.approx(3 * 86_400_000, rel=0.01)
    assert shown["disk_flushes_per_day"] == pytest.approx(2 * 86_400, rel=0.01)
    assert world.said == []
    assert world.wear.short() == {"commit_ms": [10.0, 10.0], "slow": 0, "mb_day": [86.4, 259.2]}


def test_figures_a_day_are_of_the_last_day() -> None:
    world = World()
    world.run(24 * 3600, 0.010, size=1000)
    world.run(25 * 3600, 0.010, size=2000)
    assert world.wear.show()["process_bytes_per_day"] == pytest.approx(2 * 86_400_000, rel=0.02)
    assert world.wear.show()["over_s"] == pytest.approx(86_400, rel=0.02)


def test_nothing_is_made_up_before_there_is_anything_to_measure() -> None:
    world = World()
    assert world.wear.show()["commit_ms"] == {"median": None, "worst": None}
    world.run(30, 0.010)
    assert world.wear.show()["commits_per_day"] is None
    blind = Wear(lambda _about, _text: None, Counters)
    for second in range(600):
        blind.take(Sample(float(second), second, 0.01, True))
    assert blind.show()["process_bytes_per_day"] is None
    assert blind.show()["disk_bytes_per_day"] is None
    assert blind.show()["commits_per_day"] == pytest.approx(86_400, rel=0.01)


def test_a_disk_that_is_known_only_later_has_figures_then() -> None:
    world = World()
    real = world.counters
    world.wear = Wear(lambda _about, _text: None, lambda: Counters(world.written))
    world.run(300, 0.010)
    assert world.wear.show()["disk_bytes_per_day"] is None
    world.wear._read = real
    world.run(1800, 0.010)
    assert world.wear.show()["disk_bytes_per_day"] == pytest.approx(3 * 86_400_000, rel=0.01)


def test_a_slow_commit_is_said_once_a_day_and_counted() -> None:
    world = World()
    world.run(600, 0.020)
    world.run(5, 0.8)
    world.run(600, 0.020)
    assert len(world.said) == 1
    assert "took 0.8 s, usual are 20 ms" in world.said[0]
    assert "replace it" in world.said[0]
    assert world.wear.show()["slow_commits"] == 5
    assert world.wear.show()["commit_ms"] == {"median": 20.0, "worst": 800.0}
    world.run(86_400, 0.020)
    world.run(1, 0.6)
    assert len(world.said) == 2


def test_the_worst_is_of_the_last_hour() -> None:
    world = World()
    world.run(1, 0.4)
    world.run(int(HOUR_S) + 10, 0.020)
    assert world.wear.show()["commit_ms"]["worst"] == 20.0


def test_commits_that_take_longer_and_longer_are_said_before_any_is_slow() -> None:
    world = World()
    world.run(12 * 3600, 0.015)
    world.run(2 * 3600, 0.120)
    assert world.said == []  # two busy hours prove nothing
    world.run(3600 + 60, 0.120)
    assert len(world.said) == 1
    assert "120 ms and more, for 3 hours; before it was 15 ms" in world.said[0]
    world.run(3 * 3600, 0.120)
    assert len(world.said) == 1


def test_a_disk_that_is_three_times_slower_than_nothing_is_not_worth_a_word() -> None:
    world = World()
    world.run(12 * 3600, 0.002)
    world.run(6 * 3600, 0.010)
    assert world.said == []


def test_memory_wears_nothing_and_a_new_store_begins_at_nothing() -> None:
    world = World()
    world.run(100, 0.010)
    world.commits = 0
    world.run(50, 0.0, durable=False)
    assert world.wear.commits == 100
    world.commits = 0  # back on the disk: a store just opened
    world.run(10, 0.010)
    assert world.wear.commits == 110
    world.commits = 0  # another one in its place, between two samples
    world.run(7, 0.010)
    assert world.wear.commits == 117


def test_what_is_kept_is_bounded() -> None:
    world = World()
    world.run(50 * 3600, 0.010, size=1)
    assert len(world.wear._hour) <= HOUR_S
    assert len(world.wear._marks) <= wear.MARKS_KEPT
    assert len(world.wear._hours) <= wear.HOURS_KEPT


def test_what_the_kernel_counts_is_read() -> None:
    assert parse_self_io(SELF_IO) == 8192000 - 4096
    assert parse_self_io("") is None
    assert parse_self_io("write_bytes: x\n") is None
    assert parse_block_stat(STAT_17) == (26182240 * 512, 681947)
    assert parse_block_stat(STAT_11) == (66024 * 512, None)
    assert parse_block_stat("") == (None, None)
    assert parse_block_stat("1 2 3 four 5 6 7") == (None, None)


def test_a_partition_wears_its_whole_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = tmp_path / "devices" / "mmcblk0"
    (card / "mmcblk0p2").mkdir(parents=True)
    (card / "stat").write_text(STAT_17)
    (card / "mmcblk0p2" / "stat").write_text(STAT_11)
    (card / "mmcblk0p2" / "partition").write_text("2\n")
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "179:0").symlink_to(card)
    (tmp_path / "block" / "179:2").symlink_to(card / "mmcblk0p2")
    monkeypatch.setattr(wear, "SYS_BLOCK", tmp_path / "block")
    assert wear.read_counters("179:2")[1:] == wear.read_counters("179:0")[1:] == (26182240 * 512, 681947)
    assert wear.read_counters("0:42")[1:] == (None, None)
    assert wear.read_counters("")[1:] == (None, None)


def shown(tmp_path: Path, **blocks: object) -> str:
    socket = tmp_path / f"s{len(list(tmp_path.iterdir()))}"
    with daemon(socket, {"status": says({**STATUS, **blocks})}):
        return CliRunner().invoke(fengsui, ["status", "--socket", str(socket)]).stdout


def test_status_shows_wear_and_a_failing_supply(tmp_path: Path) -> None:
    world = World()
    world.run(1800, 0.0123)
    power = {"line": "file:/run/power-fail", "failing_s": 12.3, "failures": 1, "unreadable": None}
    text = shown(tmp_path, wear=world.wear.show(), power=power)
    assert "wear     a commit takes 12.3 ms, 12.3 at most in the last hour\n" in text
    assert "86 MB (this program), 259 MB (all, with the journal)" in text
    assert "power    is failing, for 12 s" in text


def test_status_of_a_quiet_start_has_no_empty_lines_about_it(tmp_path: Path) -> None:
    power = {"line": None, "failing_s": None, "failures": 0, "unreadable": None}
    text = shown(tmp_path, wear=World().wear.show(), power=power)
    assert "wear" not in text
    assert "power" not in text
    assert "can not be read: gone" in shown(tmp_path, power={**power, "line": "file:/x", "unreadable": "gone"})
