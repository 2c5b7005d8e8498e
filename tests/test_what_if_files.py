"""`fengsui what-if`: what Excel, WPS and loggers save is read as it was meant; else it is said what is in the way."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.cli import EXIT_FAILED
from edge.cli.history import BadHistory
from edge.cli.past import Names, names_of, read_past
from edge.cli.past_cell import LOCAL, Refused, number_of, time_of
from edge.cli.past_file import CHUNK_BYTES, HEADER_WITHIN
from edge.cli.verbs import fengsui
from edge.config.load import load
from tests.test_what_if import SITE

ROWS = [(0, "9", "0.2"), (1, "12.5", "0.4"), (62, "12.75", "0.4"), (63, "", "0.6"), (14 * 60 + 5, "9", "1")]
START_MS = 1_782_835_200_000  # 2026-07-01 00:00 at UTC+8
MINUTE_MS = 60_000
IDS = Names({"level": "level", "rain": "rain"}, {})


def slashed(minute: int) -> str:
    return f"2026/7/1 {minute // 60}:{minute % 60:02d}"


def halves(minute: int) -> str:
    hour = minute // 60
    return f"2026/7/1 {'上午' if hour < 12 else '下午'} {hour % 12 or 12}:{minute % 60:02d}:00"


def sheet(head: str = "time,level,rain", delimiter: str = ",", time: Any = slashed, more: str = "") -> str:
    rows = [delimiter.join((time(at), level, rain)) + more for at, level, rain in ROWS]
    return "\r\n".join([head.replace(",", delimiter) + more, *rows, ""])


SAVED = {
    "comma": (sheet(), "utf-8", "UTF-8, separated by commas"),
    "CSV UTF-8": (sheet(), "utf-8-sig", "UTF-8, separated by commas"),
    "semicolons": (sheet(delimiter=";"), "utf-8", "UTF-8, separated by semicolons"),
    "sep line": ("sep=;\r\n" + sheet(delimiter=";"), "utf-8", "UTF-8, separated by semicolons, header in line 2"),
    "tabs": (sheet(delimiter="\t"), "utf-8", "UTF-8, separated by tabs"),
    "Unicode text": (sheet(delimiter="\t"), "utf-16", "UTF-16, separated by tabs"),
    "big end first": ("\ufeff" + sheet(delimiter="\t"), "utf-16-be", "UTF-16, separated by tabs"),
    "Time": (sheet("Time,level,rain"), "utf-8", "UTF-8, separated by commas"),
    "时间": (sheet("时间,level,rain"), "gbk", "GB18030, separated by commas"),
    "日期时间": (sheet("日期时间,level,rain"), "gbk", "GB18030, separated by commas"),
    "采集时间": (sheet("采集时间,level,rain"), "utf-8", "UTF-8, separated by commas"),
    "day apart": (
        sheet("日期,时间,level,rain", time=lambda at: slashed(at).replace(" ", ",")),
        "gbk",
        "GB18030, separated by commas",
    ),
    "day there twice": (
        sheet("日期,时间,level,rain", time=lambda at: f"2026/7/1,{slashed(at)}"),
        "gbk",
        "GB18030, separated by commas",
    ),
    "a title about time": ("时间,2026年7月\r\n" + sheet(), "gbk", "GB18030, separated by commas, header in line 2"),
    "titles": (
        "大树沟尾矿库 2026年\r\n\r\n打印, 2026/7/2\r\n" + sheet(),
        "gb18030",
        "GB18030, separated by commas, header in line 4",
    ),
    "years and months": (
        sheet(time=lambda at: f"2026年7月1日 {at // 60}:{at % 60:02d}"),
        "gbk",
        "GB18030, separated by commas",
    ),
    "hours and minutes": (
        sheet(time=lambda at: f"2026年7月1日{at // 60}时{at % 60:02d}分"),
        "gbk",
        "GB18030, separated by commas",
    ),
    "halves of the day": (sheet(time=halves), "gbk", "GB18030, separated by commas"),
    "columns left empty": (sheet(more=",,"), "utf-8", "UTF-8, separated by commas"),
    "rows left empty": (sheet() + ",,\r\n,,\r\n", "utf-8", "UTF-8, separated by commas"),
    "old Mac": (sheet().replace("\r\n", "\r"), "utf-8", "UTF-8, separated by commas"),
    "a remark": (
        "".join(f"{line},{'备注' if n == 0 else '“正常”'}\r\n" for n, line in enumerate(sheet().split("\r\n")[:-1])),
        "gbk",
        "GB18030, separated by commas",
    ),
}


def saved(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    file = folder / "record.csv"
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize("how", SAVED)
def test_what_people_save_is_the_same_record(tmp_path: Path, how: str) -> None:
    text, encoding, said = SAVED[how]
    past = read_past(saved(tmp_path, text, encoding), IDS)
    assert past.read_as == f"read as {said}"
    assert (past.bad, past.rows, past.points) == (0, len(ROWS), ["level", "rain"])
    found = [*zip(past.at_ms[::2], map(str, past.value[::2]), map(str, past.value[1::2]), strict=True)]
    assert found == [
        (START_MS + at * MINUTE_MS, str(float(level or "nan")), str(float(rain))) for at, level, rain in ROWS
    ]
    assert past.zone == "UTC+8"


def invoke(folder: Path, text: str, *arguments: str, encoding: str = "utf-8", site: str = SITE) -> Result:
    (folder / "site.toml").write_text(site, "utf-8")
    call = ["what-if", str(saved(folder, text, encoding)), "--site", str(folder / "site.toml"), *arguments]
    return CliRunner().invoke(fengsui, call, catch_exceptions=False)


def test_times_without_a_zone_are_local_and_shown_as_they_stand(tmp_path: Path) -> None:
    picture = tmp_path / "o.svg"
    text = invoke(tmp_path, sheet("时间,level,rain"), "--svg", str(picture), encoding="gbk").stdout
    first, second, *_ = text.splitlines()
    assert "2026-07-01 00:00:00 to 2026-07-01 14:05:00 (14 h)" in first
    assert second.startswith("read as GB18030, separated by commas; its times have no zone: taken for UTC+8")
    assert "  2026-07-01 01:02:00  high: RED raised" in text
    assert "2026-07-01 00:00:00 to 2026-07-01 14:05:00<" in picture.read_text("utf-8")
    assert "00Z" not in text + picture.read_text("utf-8")
    answer = json.loads(invoke(tmp_path, sheet(), "--json").stdout)
    assert (answer["zone"], answer["from_ms"]) == ("UTC+8", START_MS)
    assert answer["read_as"] == "read as UTF-8, separated by commas"


@pytest.mark.parametrize(
    "time", [lambda at: str(START_MS + at * MINUTE_MS), lambda at: f"2026-07-01T{at // 60:02d}:{at % 60:02d}:00+08:00"]
)
def test_times_that_say_their_zone_are_shown_in_utc(tmp_path: Path, time: Any) -> None:
    first, second, *_ = invoke(tmp_path, sheet(time=time)).stdout.splitlines()
    assert "2026-06-30 16:00:00Z to 2026-07-01 06:05:00Z" in first
    assert second == "read as UTF-8, separated by commas; times in UTC"


NAMED = SITE.replace('id = "level"\n', 'id = "level"\nname = "水位"\n').replace(
    'id = "rain"\n', 'id = "rain"\nname = "雨量"\n'
)


def test_columns_may_be_called_by_the_names_of_points(tmp_path: Path) -> None:
    text = invoke(tmp_path, sheet("时间,水位,雨量"), encoding="gbk", site=NAMED).stdout
    assert "10 readings of 2 points" in text
    long = "时间,point,value\n2026/7/1 0:00,水位,9\n2026/7/1 0:01,level,9\n2026/7/1 0:01,雨量,1\n"
    assert "3 readings of 2 points" in invoke(tmp_path, long, site=NAMED).stdout
    wrong = invoke(tmp_path, "time,水位计\n2026/7/1 0:00,9\n", site=NAMED)
    assert "it has 水位计, the site level (水位), rain (雨量)" in wrong.stderr
    twice = invoke(tmp_path, "time,水位,level\n2026/7/1 0:00,9,8\n", site=NAMED)
    assert (twice.exit_code, "the header names level more than once" in twice.stderr) == (EXIT_FAILED, True)


def test_a_name_of_two_points_is_nobody_s_and_an_id_goes_before_a_name(tmp_path: Path) -> None:
    shared = invoke(tmp_path, sheet("time,水位,rain"), site=NAMED.replace("雨量", "水位")).stdout
    assert "left out: 水位 (the name of level, rain: write the id)" in shared
    (tmp_path / "site.toml").write_text(NAMED.replace("雨量", "level"), "utf-8")
    names = names_of(load(tmp_path / "site.toml").points)
    assert names == Names({"level": "level", "rain": "rain", "水位": "level"}, {})


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "is empty: no header, no reading"),
        (b" \r\n\r\n", "is empty"),
        (b"a,b\n1,2\n", "none of its first 20 lines has a column time, at, at_ms, 时间"),
        ("时刻,水位\n1,2\n".encode("gbk"), "read as GB18030 it begins with “时刻,水位”"),
        (b"time\n2026/7/1\n", "has no header"),
        (("x\n" * HEADER_WITHIN + sheet()).encode(), "has no header"),
        (b"PK\x03\x04\x14\x00\x06\x00", "is a workbook of Excel or WPS; save it as CSV first"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old workbook"),
        (sheet().encode("utf-16-le"), "is no text, or UTF-16 without its mark"),
        (b"\x1b[31mred\x1b[m,b\n1,2\n", "begins with “\\x1b[31mred"),
        (b"time,level\n", "has no reading of any point of this site; it has no row"),
        (b"time,level\n" + b"1" * 3 * CHUNK_BYTES, f"has a line of more than {CHUNK_BYTES} bytes: is it CSV?"),
        (
            sheet(delimiter=";").replace(".", ",").encode(),
            "line 2: “0,2” has a decimal comma: write numbers with a point",
        ),
        (sheet(delimiter="\t").replace(".", ",").encode("utf-16"), "has a decimal comma"),
        (sheet(time=lambda at: str(1782835200 + at * 60)).encode(), "seconds since 1970? write milliseconds"),
        (sheet(time=lambda at: f"{46204 + at / 1440:.5f}").encode(), "a spreadsheet's number of a day?"),
        (sheet(time=lambda at: f"7/1/26 0:{at % 60:02d}").encode(), "day or month first? write the year first"),
        ("时间,水位计\n2026/7/1 0:00,9\n".encode("gbk"), "it has 水位计, the site level, rain"),
    ],
)
def test_what_can_not_be_read_is_said_as_it_is(tmp_path: Path, raw: bytes, said: str) -> None:
    (tmp_path / "site.toml").write_text(SITE, "utf-8")
    (tmp_path / "record.csv").write_bytes(raw)
    call = ["what-if", str(tmp_path / "record.csv"), "--site", str(tmp_path / "site.toml")]
    refused = CliRunner().invoke(fengsui, call, catch_exceptions=False)
    assert refused.exit_code == EXIT_FAILED
    assert said in refused.stderr
    assert "\x1b" not in refused.stderr


def test_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(SITE, "utf-8")
    refused = CliRunner().invoke(fengsui, ["what-if", str(tmp_path), "--site", str(tmp_path / "site.toml")])
    assert (refused.exit_code, "is no file" in refused.stderr) == (EXIT_FAILED, True)


def test_rows_of_a_clock_that_was_lost_and_numbers_that_are_none_are_left_out(tmp_path: Path) -> None:
    rows = ["9999/12/31 23:59,9,1", "1970/1/1 0:00,9,1", "2101/1/1 0:00,9,1", "2026/2/30 0:00,9,1"]
    rows += [
        f"2026/7/1 0:0{n},{cell},1" for n, cell in enumerate(["inf", "nan", "1_000", "1e999", "１２", '"1,234.5"'])
    ]
    (tmp_path / "site.toml").write_text(SITE, "utf-8")
    past = read_past(saved(tmp_path, "time,level,rain\n" + "\n".join(rows) + "\n2026/7/1 0:30,9,1\n"), IDS)
    assert (past.rows, past.bad) == (11, 10)
    assert past.said[0] == "line 2: “9999/12/31 23:59” is no time of 1990 to 2100"
    assert "day is out of range" in past.said[3]
    assert past.said[4] == "line 6: “inf” is no number; leave a value that is missing empty (level)"
    levels = [value for place, value in zip(past.point, past.value, strict=True) if past.points[place] == "level"]
    assert [value for value in levels if value == value] == [9]


@pytest.mark.parametrize(("encoding", "spoken"), [("utf-8", "UTF-8"), ("gbk", "GB18030")])
def test_bytes_that_fit_nothing_spoil_their_row_alone(tmp_path: Path, encoding: str, spoken: str) -> None:
    file = tmp_path / "record.csv"
    text = "time,level,雨量\n2026/7/1 0:00,9,1\n2026/7/1 0:01,?9,1\n2026/7/1 0:02,9,正"
    file.write_bytes(text.encode(encoding).replace(b"?", b"\xff")[:-1])
    past = read_past(file, Names({"level": "level", "雨量": "rain"}, {}))
    assert (past.rows, past.bad, len(past.at_ms)) == (3, 2, 6)
    assert past.read_as == f"read as {spoken} (but not every byte of it is), separated by commas"


def test_a_row_longer_than_the_header_is_bad_only_where_something_stands(tmp_path: Path) -> None:
    rows = [
        "2026/7/1 0:00,9,remark,",
        "2026/7/1 0:01,9",
        "2026/7/1 0:02,9,,,,",
        "2026/7/1 0:03,9,,,,7",
        "2026/7/1 0:04",
    ]
    text = "\n".join(["time,level,,", *rows])
    past = read_past(saved(tmp_path, text), IDS)
    assert (past.rows, past.bad) == (5, 2)
    assert past.said == ["line 5: 6 columns, the header has 4", "line 6: 1 columns, the header has 4"]
    assert not past.strangers


@given(st.datetimes(datetime(1990, 1, 2), datetime(2100, 12, 30)))
def test_one_instant_written_any_way_is_the_same(at: Any) -> None:
    at = at.replace(microsecond=0)
    wanted = round(at.replace(tzinfo=LOCAL).timestamp() * 1000)
    day = [
        f"{at.year}/{at.month}/{at.day}",
        f"{at.year}-{at.month:02d}-{at.day:02d}",
        f"{at.year}年{at.month}月{at.day}日",
    ]
    half = f"{'上午' if at.hour < 12 else '下午'}"
    times = [
        f"{at.hour}:{at:%M:%S}",
        f"{half}{at.hour % 12 or 12}:{at:%M:%S}",
        f"{half} {at.hour % 12 or 12}:{at:%M:%S}",
        f"{at.hour}时{at.minute}分{at.second}秒",
    ]
    texts = [f"{date} {time}" for date in day for time in times] + [at.isoformat(), f"{day[2]}{times[3]}"]
    assert {time_of("", text) for text in texts} == {(wanted, False)}
    assert time_of("", at.isoformat() + "+08:00") == (wanted, True)
    assert time_of("", str(wanted)) == (wanted, None)


@given(st.text(alphabet="0123456789/-年月日时分上下午: T.秒点", max_size=24))
def test_no_time_is_made_of_what_is_none(text: str) -> None:
    """Every text is a time, or a sentence: 2026/7/10:05 is not the first of July."""
    with suppress(BadHistory):
        at_ms, _ = time_of("line 2", text)
        year = datetime.fromtimestamp(at_ms / 1000, LOCAL).year
        assert year in range(1990, 2101)
        assert text.isdecimal() or abs(int(text[:4]) - year) <= 1  # a zone may lead over the year's end
    with pytest.raises(BadHistory, match="is no time"):
        time_of("", "2026/7/10:05")


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8))
def test_a_number_is_what_it_was_or_none(value: float, text: str) -> None:
    assert number_of("", repr(value), comma_is_free=True) == value
    with pytest.raises(Refused):
        number_of("", f"{abs(value):.2f}".replace(".", ","), comma_is_free=True)
    with suppress(BadHistory):
        found = number_of("line 2", text, comma_is_free=False)
        assert not text.strip() or found == float(text)


@settings(deadline=None)
@given(st.sampled_from(sorted(SAVED)), st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=6)), max_size=6))
def test_a_spoilt_file_is_read_or_refused_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, how: str, spoilt: list[tuple[int, bytes]]
) -> None:
    text, encoding, _ = SAVED[how]
    raw = text.encode(encoding)
    for at, with_what in spoilt:
        raw = raw[:at] + with_what + raw[at + len(with_what) :]
    file = tmp_path_factory.getbasetemp() / "spoilt.csv"
    file.write_bytes(raw)
    with suppress(BadHistory):
        past = read_past(file, IDS)
        assert len(past.at_ms) == len(past.value) == len(past.point) > 0
        assert list(past.at_ms) == sorted(past.at_ms)
        assert all(math.isnan(value) or math.isfinite(value) for value in past.value)
        assert len(past.said) == min(past.bad, 5)
