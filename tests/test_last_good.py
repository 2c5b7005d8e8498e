"""The site file that an editor had half written when the power went: no limit is lost silently."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest

from edge.cli.gateway import gateway
from edge.config import load
from edge.config.site import Site
from edge.daemon import build
from edge.errors import SiteFileError
from edge.last_good import Loaded, built_or_last_good, load_or_last_good

SITE = """
[gateway]
id = "g"
[store]
path = "store"
[[port]]
id = "bus"
open = "tcp:127.0.0.1:1"
[[device]]
id = "d"
driver = "modbus"
port = "bus"
[[device.point]]
id = "p"
unit = "m"
step = 0.01
register = 0
[[link]]
id = "fibre"
driver = "mqtt"
host = "127.0.0.1"
port = 1
[[limit]]
id = "high"
point = "p"
above = { red = 312 }
[[limit]]
id = "low"
point = "p"
below = { orange = 200.5 }
hysteresis = 0.5
"""


@pytest.fixture
def site_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site file from which the gateway has started once."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    path = tmp_path / "site.toml"
    path.write_text(SITE)
    assert limits(path)[1] == []
    return path


def limits(path: Path) -> tuple[list[str], list[str]]:
    """Of a start of the gateway."""
    site, said, keep = load_or_last_good(path)
    keep()
    return [limit.id for limit in site.limits], said


def test_wherever_it_breaks_off_the_limits_are_judged_and_it_is_said(site_file: Path) -> None:
    whole = load_or_last_good(site_file).site
    for length in range(len(SITE.rstrip())):
        site_file.write_text(SITE[:length])
        site, said, keep = load_or_last_good(site_file)
        keep()
        assert (site.limits, site.links, site.points) == (whole.limits, whole.links, whole.points)
        assert any("running on the last good copy" in sentence for sentence in said)


def test_one_that_was_edited_and_breaks_off_in_a_line_is_not_believed(site_file: Path) -> None:
    whole = load_or_last_good(site_file).site
    edited = SITE.replace("312", "310.5")
    for length in range(edited.index("310.5"), len(edited.rstrip())):
        if edited[length] != "\n" and edited[length - 1] != "\n":
            site_file.write_text(edited[:length])
            site, said, keep = load_or_last_good(site_file)
            keep()
            assert site.limits == whole.limits
            assert said


def test_what_is_no_longer_there_is_named(site_file: Path) -> None:
    site_file.write_text(SITE[: SITE.rindex("[[limit]]")])
    kept, said = limits(site_file)
    assert kept == ["high", "low"]
    assert len(said) == 1
    assert "breaks off (without limit low)" in said[0]
    assert "add a last line: # end" in said[0]
    assert limits(site_file) == (kept, said), "the copy is not spoilt by it"


@pytest.mark.parametrize("end", ["# end", "# end\n", "# end\r\n"])
def test_an_end_taken_out_on_purpose_is_believed_when_told(site_file: Path, end: str) -> None:
    site_file.write_text(SITE[: SITE.rindex("[[limit]]")] + end)
    assert limits(site_file) == (["high"], [f"{site_file} has no longer: limit low"])
    assert limits(site_file) == (["high"], [])


def test_an_edited_file_is_believed(site_file: Path) -> None:
    for text in (SITE.replace("312", "313"), SITE.rstrip(), SITE + "\n\n", SITE.rstrip().replace("312", "314"), SITE):
        site_file.write_text(text)
        assert limits(site_file) == (["high", "low"], [])
    site_file.write_text(SITE.replace('id = "high"', 'id = "higher"'))
    assert limits(site_file) == (["higher", "low"], [f"{site_file} has no longer: limit high"])


def test_a_copy_that_is_wrong_itself_stands_in_nobodys_way(site_file: Path) -> None:
    copy = site_file.with_name("site.toml.good")
    copy.write_text(SITE + "[[limit")
    assert limits(site_file) == (["high", "low"], [])
    assert copy.read_text() == SITE
    copy.unlink()
    copy.mkdir()
    assert limits(site_file) == (["high", "low"], [])
    site_file.write_text("")
    with pytest.raises(SiteFileError):
        load_or_last_good(site_file)


def test_a_file_is_kept_when_the_gateway_has_been_built_of_it_and_not_before(site_file: Path) -> None:
    copy = site_file.with_name("site.toml.good")
    site_file.write_text(SITE.replace("312", "313"))
    loaded = load_or_last_good(site_file)
    assert copy.read_text() == SITE
    assert loaded.site.stands_in == ""
    loaded.keep()
    assert copy.read_text() == SITE.replace("312", "313")
    loaded = load_or_last_good(site_file)
    site_file.write_text(SITE + "[[limit")
    loaded.keep()
    assert copy.read_text() == SITE.replace("312", "313"), "what was loaded is no longer there"
    found = load_or_last_good(site_file)
    assert found.site.stands_in == found.said[-1]


def test_a_gateway_that_can_not_be_built_leaves_the_copy(site_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr("edge.daemon.build", build)
    site_file.write_text(SITE.replace("312", "313"))
    with pytest.raises(RecursionError):
        gateway(site_file)
    assert site_file.with_name("site.toml.good").read_text() == SITE


FOLLOWS = """
[[port]]
id = "relays"
open = "tcp:127.0.0.1:2"
[[output]]
id = "lamp"
driver = "modbus"
port = "relays"
register = 0
[[action]]
id = "light"
on = ["low"]
output = "lamp"
level = "red"
max_on = "60s"
"""
DEEP = "".join(f'[[limit]]\nid = "c{at}"\nany = ["{f"c{at - 1}" if at else "high"}"]\n' for at in range(17))
MANY = "".join(f'[[limit]]\nid = "c{at}"\nany = ["high"]\n' for at in range(1001))
HIGH = "above = { red = 312 }"
RANGE = "register = 0\nrange = [0, 300]"
MUST = '[design]\nleast = 312\nmust = ["ALWAYS"]\n' + SITE.replace(HIGH, 'above = { red = "$least" }')
USELESS = {
    "an action that never follows": (SITE + FOLLOWS, "red is never reached"),
    "deep": (SITE + DEEP, "more than 16 deep"),
    "many": (SITE + MANY, "more than the 1000"),
    "beyond the range": (SITE.replace("register = 0", RANGE), "312.00 can never be reached"),
    "always": (SITE.replace(HIGH, "above = { red = -1 }").replace("register = 0", RANGE), "reached by every value"),
    "a total's sign": (SITE.replace(HIGH, 'of = "total"\nbelow = { red = 3 }'), "write less than 0"),
    "must": (MUST.replace("ALWAYS", "least < 300"), "must lie below 300"),
    "must of what is not there": (MUST.replace("ALWAYS", "lost < least"), "has no lost: take that out of `must`"),
}


@pytest.mark.parametrize("name", USELESS)
def test_what_is_only_of_no_use_is_refused_by_a_check_and_stops_no_gateway(site_file: Path, name: str) -> None:
    text, wrong = USELESS[name]
    copy = site_file.with_name("site.toml.good")
    for file in (site_file, copy):  # as after an upgrade: both are of before
        file.write_text(text)
    with pytest.raises(SiteFileError, match=re.escape(wrong)):
        load(site_file)
    loaded = load_or_last_good(site_file)
    assert [limit.id for limit in loaded.site.limits][:2] == ["high", "low"]
    assert wrong in loaded.site.useless[0]
    assert any("run as it is" in said and wrong in said for said in loaded.said)
    assert loaded.site.stands_in == ""
    site_file.write_text(text + "[[limit")  # what can not be built is not run; what it ran with is, and says so
    loaded = load_or_last_good(site_file)
    assert wrong in loaded.site.useless[0]
    assert any("run as it is" in said for said in loaded.said)
    assert "running on the last good copy" in loaded.site.stands_in


def test_what_is_of_no_use_hides_no_mistake(site_file: Path) -> None:
    site_file.write_text(SITE.replace("register = 0", RANGE).replace("200.5", "true"))
    with pytest.raises(SiteFileError, match="can never be reached") as error:
        load(site_file)
    assert len(error.value.problems) == 2
    assert "running on the last good copy" in load_or_last_good(site_file).site.stands_in


DESIGNED = '[design]\nflood = 312\nmust = ["0 < flood"]\n' + SITE.replace(HIGH, 'above = { red = "$flood" }').replace(
    "register = 0", "register = 0\nrange = [0, 400]"
)
UNREACHED = '[[limit]]\nid = "never"\npoint = "p"\nabove = { red = 500 }\n'  # as an older version let pass
SLIPS = {
    "a digit too many": ("flood = 312", "flood = 3120", "can never be reached"),
    "a sign too many": ("flood = 312", "flood = -312", "must lie above 0"),
    "always": ('"$flood" }', '"$flood", orange = -5 }', "reached by every value"),
    "an action that never follows": ("# end", FOLLOWS + "# end", "red is never reached"),
}


def of_high(path: Path) -> tuple[float, list[str]]:
    """Where a start of the gateway judges the limit `high`, m, and what it says."""
    loaded = load_or_last_good(path)
    loaded.keep()
    assert bool(loaded.site.stands_in) == any("running on the last good copy" in said for said in loaded.said)
    return loaded.site.limits[0].thresholds[-1][1] / 100, loaded.said


@pytest.mark.parametrize("before", ["", UNREACHED], ids=["right", "run as it is"])
@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_that_a_check_refuses_takes_no_copys_place(site_file: Path, name: str, before: str) -> None:
    """Also where both are run as they are for something else, even one that stands elsewhere in the file now."""
    was, slip, wrong = SLIPS[name]
    good, copy = f"{DESIGNED}{before}# end", site_file.with_name("site.toml.good")
    for file in (site_file, copy):
        file.write_text(good)
    assert of_high(site_file)[0] == 312
    low = SITE[SITE.rindex("[[limit]]") :]
    site_file.write_text(good.replace(low, low.replace('"low"', '"more"') + low).replace(was, slip))
    assert load(site_file, useless_too=True).useless
    high_m, said = of_high(site_file)
    assert high_m == 312
    assert any(wrong in sentence and f"{site_file}: " in sentence for sentence in said)
    assert copy.read_text() == good
    assert of_high(site_file) == (high_m, said)
    site_file.write_text(good.replace("flood = 312", "flood = 310"))  # without the slip it is believed again
    assert of_high(site_file)[0] == 310
    assert copy.read_text() == site_file.read_text()


def test_what_was_of_no_use_before_is_no_slip_when_tables_move_or_its_number_changes(site_file: Path) -> None:
    for file in (site_file, site_file.with_name("site.toml.good")):
        file.write_text(DESIGNED + UNREACHED)
    other = UNREACHED.replace("never", "more").replace("500", "333")
    site_file.write_text(DESIGNED.replace("flood = 312", "flood = 310") + other + UNREACHED.replace("500", "501"))
    high_m, said = of_high(site_file)
    assert high_m == 310
    assert all("run as it is" in sentence for sentence in said)
    assert site_file.with_name("site.toml.good").read_text() == site_file.read_text()


def test_a_first_file_with_a_slip_is_run(site_file: Path) -> None:
    site_file.with_name("site.toml.good").unlink()
    site_file.write_text(DESIGNED.replace("flood = 312", "flood = 3120"))
    assert of_high(site_file)[0] == 3120


@pytest.mark.parametrize("failure", [errno.EIO, errno.EACCES])
@pytest.mark.parametrize("name", ["site.toml", "site.toml.good"])
@pytest.mark.parametrize("edited", [False, True])
def test_a_file_that_nothing_can_be_asked_of_leaves_the_other_to_run(
    site_file: Path, monkeypatch: pytest.MonkeyPatch, name: str, failure: int, edited: bool
) -> None:
    """A bad sector under its inode; a folder that is another user's."""
    if edited:
        site_file.write_text(SITE.replace("312", "310"))
    stat = Path.stat

    def fail(path: Path, **options: Any) -> os.stat_result:
        if path.name == name:
            raise OSError(failure, os.strerror(failure))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", fail)
    loaded = load_or_last_good(site_file)
    loaded.keep()
    is_copy = name == site_file.name
    assert loaded.site.limits[0].thresholds[-1][1] == (31_200 if is_copy or not edited else 31_000)
    assert bool(loaded.site.stands_in) == is_copy
    assert any(f"can not be read: {os.strerror(failure)}" in said for said in loaded.said) == is_copy


def built_of_no_copy(site_file: Path) -> tuple[Site, Loaded]:
    """By a version that fails on something that the copy has."""

    def fail(site: Site) -> Site:
        if site.file.suffix == ".good":
            raise ZeroDivisionError("on the copy")
        return site

    loaded = load_or_last_good(site_file)
    assert loaded.site.stands_in
    return built_or_last_good(site_file, loaded, fail)


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_is_run_where_no_gateway_can_be_built_of_the_copy(site_file: Path, name: str) -> None:
    was, slip, wrong = SLIPS[name]
    good, copy = DESIGNED + "# end", site_file.with_name("site.toml.good")
    copy.write_text(good)
    site_file.write_text(good.replace(was, slip))
    site, used = built_of_no_copy(site_file)
    assert (site, site.file, site.stands_in) == (used.site, site_file, "")
    assert any("run as it is (fengsui check refuses it)" in said and wrong in said for said in used.said)
    assert f"a gateway of {copy}, a fault of ours (ZeroDivisionError: on the copy" in used.said[-1]
    assert f"running {site_file} as it is; tell" in used.said[-1]
    used.keep()
    assert copy.read_text() == good, "what ran only because nothing else could is no good copy"


def test_one_that_breaks_off_is_run_where_no_gateway_can_be_built_of_the_copy(site_file: Path) -> None:
    site_file.write_text(SITE[: SITE.rindex("[[limit]]")])
    site, used = built_of_no_copy(site_file)
    assert [limit.id for limit in site.limits] == ["high"]
    assert len(used.said) == 1
    assert "as it is (which has no longer: limit low)" in used.said[0]


def test_a_wrong_file_is_not_run_where_no_gateway_can_be_built_of_the_copy(site_file: Path) -> None:
    site_file.write_text(SITE + "[[limit")
    with pytest.raises(ZeroDivisionError):
        built_of_no_copy(site_file)


async def told_of_the_site_file(site: Site) -> Any:
    """In a status long after the start: what was said then is among its events no more."""
    open_port: Any = None
    daemon = build(site, open_port)
    for turn in range(4):
        daemon.say("device d", f"answers again {turn}")
    return daemon.answers.short_status().get("site_file")


def test_the_province_is_told_all_along_that_a_copy_runs(site_file: Path) -> None:
    told = []
    for text in (SITE, SITE.replace("312", "true"), SITE.replace("312", "310")):
        site_file.write_text(text)
        loaded = load_or_last_good(site_file)
        loaded.keep()
        told.append(asyncio.run(told_of_the_site_file(loaded.site)))
    assert told == [None, "copy", None]
