"""A device that names a sensor template is what one would have written by hand; mistakes name device and template."""

from __future__ import annotations

import re
import time
from decimal import Decimal
from pathlib import Path

import pytest

from edge.config import Site, load
from edge.config.templates import find, folders, names, read_template
from edge.contract import Quality
from edge.errors import SiteFileError
from edge.intake_nouns import PointNow
from edge.last_good import copy_path, load_or_last_good
from tests.sensor_sites import (
    GATEWAY,
    PORT,
    TEMPLATES,
    all_shorts,
    choice,
    own_template,
    site_text,
    template,
)
from tests.world_wires import site_of

RADAR = """
[[device]]
id = "pond"
name = "库水位雷达"
device = "dfrobot-sen0676"
port = "bus"
unit = 7
height = 424.5
"""
BY_HAND = """
[[device]]
id = "pond"
name = "库水位雷达"
driver = "modbus"
port = "bus"
unit = 7
[[device.point]]
id = "pond.level"
name = "水位"
unit = "m"
step = 0.001
range = [414.5, 424.5]
every = "1min"
register = 1
scale = -0.001
offset = 424.5
"""
MINE = """
maker = "Me"
model = "One"
what = "level"
driver = "modbus"
trust = "M"
sources = ["my own hand"]
[[point]]
id = "level"
unit = "m"
step = 0.01
register = 3
"""


def site(folder: Path, text: str) -> Site:
    (folder / "site.toml").write_text(GATEWAY + PORT + text, "utf-8")
    return load(folder / "site.toml")


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(SiteFileError) as found:
        site(folder, text)
    return list(found.value.problems)


def test_it_is_what_one_would_have_written_by_hand(tmp_path: Path) -> None:
    templated, by_hand = site(tmp_path, RADAR), site(tmp_path, BY_HAND)
    assert templated.devices == by_hand.devices
    assert templated.points == by_hand.points
    assert [path.name for path in templated.templates] == ["dfrobot-sen0676.toml"]
    assert by_hand.templates == ()


def test_points_are_chosen_in_the_templates_order(tmp_path: Path) -> None:
    chosen = site(tmp_path, RADAR + 'points = ["level-by-sensor", "distance"]\n')
    assert [point.id for point in chosen.points] == ["pond.distance", "pond.level-by-sensor"]


def test_a_point_may_be_renamed_and_any_key_of_it_changed(tmp_path: Path) -> None:
    change = (
        '[[device.point]]\npoint = "level"\nid = "pond-level"\nname = "库水位"\nevery = "10s"\nrange = [408, 424]\n'
    )
    (point,) = site(tmp_path, RADAR + change).points
    assert (point.id, point.name, point.every_ms, point.minimum) == ("pond-level", "库水位", 10_000, Decimal(408))


def test_a_change_of_an_optional_point_brings_it_in(tmp_path: Path) -> None:
    more = '[[device.point]]\npoint = "distance"\n'
    assert [point.id for point in site(tmp_path, RADAR + more).points] == ["pond.level", "pond.distance"]


def test_points_of_ones_own_stand_behind_the_templates(tmp_path: Path) -> None:
    own = '[[device.point]]\nid = "baud"\nunit = ""\nstep = 1\nregister = 1014\n'
    found = site(tmp_path, RADAR + own)
    assert [point.id for point in found.points] == ["pond.level", "baud"]


def test_keys_of_the_device_go_before_the_templates(tmp_path: Path) -> None:
    found = site(tmp_path, RADAR.replace("unit = 7", 'unit = 7\ntimeout = "3s"'))
    assert found.devices[0].spec.settings.timeout == "3s"
    assert site(tmp_path, RADAR.replace("unit = 7\n", "")).devices[0].spec.settings.unit == 1


def test_two_devices_of_one_template_are_two(tmp_path: Path) -> None:
    second = RADAR.replace('"pond"', '"river"').replace("unit = 7", "unit = 8").replace("424.5", "12")
    found = site(tmp_path, RADAR + second)
    assert [point.id for point in found.points] == ["pond.level", "river.level"]
    offsets = [spec.points[id_].offset for spec in found.wires[0].devices for id_ in spec.points]
    assert offsets == [424.5, 12.0]
    assert len(found.templates) == 1


def test_channels_are_counted_from_one_and_want_their_own_constants(tmp_path: Path) -> None:
    logger = '[[device]]\nid = "vw"\ndevice = "hebei-wenkong-vtn416"\nport = "bus"\n'
    choice = 'points = ["frequency-1", "pressure-16"]\n'
    found = site(tmp_path, logger + choice + "k16 = 0.0005\nf0_16 = 2876.3\nfull_scale_16 = 350\n")
    spec = found.devices[0].spec
    assert [settings.register for settings in spec.points.values()] == [100, 115]
    assert spec.points["vw.pressure-16"].vibrating_wire.f0 == 2876.3
    (problem,) = problems(tmp_path, logger + 'points = ["pressure-3"]\nk3 = 0.0005\nfull_scale_3 = 350\n')
    assert "the key `f0_3` is missing: zero frequency f0 of the sensor on this channel" in problem
    (problem,) = problems(tmp_path, logger)
    assert "the key `points` is missing: a list of frequency-1, frequency-2" in problem


def test_what_a_point_is_computed_from_comes_along(tmp_path: Path) -> None:
    wire = '[[device]]\nid = "pz"\ndevice = "changsha-kunpeng-wire"\nport = "bus"\npoints = ["pressure"]\n'
    constants = "k = 0.0005\nf0 = 2876.3\nb = 0.04\nt0 = 18.2\nfull_scale = 350\n"
    rename = '[[device.point]]\npoint = "pressure"\nid = "p1"\n'
    found = site(tmp_path, wire + constants + rename)
    assert [point.id for point in found.points] == ["pz.temperature", "p1"]
    assert found.devices[0].spec.points["p1"].vibrating_wire.temperature == "pz.temperature"


def test_calibration_constants_are_asked_for_by_name_all_at_once(tmp_path: Path) -> None:
    wire = '[[device]]\nid = "pz"\ndevice = "changsha-kunpeng-wire"\nport = "bus"\nunit = 300\nf0 = "2876"\n'
    found = problems(tmp_path, wire)
    assert 'device[0] "pz": the key `k` is missing: K, from the sensor\'s calibration sheet in kPa/Hz²' in found
    assert any("the key `b` is missing" in problem for problem in found)
    assert any("the key `t0` is missing" in problem for problem in found)
    assert 'device[0] "pz" → f0: found “2876”; allowed: a number' in found
    assert any("the key `full_scale` is missing" in problem for problem in found)
    assert any("unit: found 300" in problem and "(template changsha-kunpeng-wire)" in problem for problem in found)
    assert len(found) == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RADAR.replace("sen0676", "sen0677"), "no sensor template “dfrobot-sen0677”; did you mean “dfrobot-sen0676”?"),
        (RADAR.replace('"dfrobot-sen0676"', '"../../etc/passwd"'), "there is no sensor template"),
        (RADAR.replace('"dfrobot-sen0676"', "7"), "allowed: the name of a sensor template"),
        (RADAR + 'driver = "modbus"\n', "is the template's (modbus); take this key out"),
        (RADAR + 'points = ["levl"]\n', "“levl” is no point of the template dfrobot-sen0676; did you mean “level”?"),
        (RADAR + 'points = "level"\n', "found “level”; allowed: a list of level, distance"),
        (RADAR + '[[device.point]]\npoint = "depth"\n', "“depth” is no point of the template"),
        (RADAR + 'points = ["distance"]\n[[device.point]]\npoint = "level"\nevery = "5s"\n', "leaves out “level”"),
        (RADAR + '[[device.point]]\npoint = "level"\nevry = "5s"\n', "evry: no such key; allowed here: id, name"),
        (RADAR + "hight = 3\n", "(template dfrobot-sen0676, which has: device, points, height)"),
        (RADAR.replace("height = 424.5", "height = nan"), "height: found nan; allowed: a number"),
    ],
)
def test_mistakes_are_told_with_device_and_template(text: str, said: str, tmp_path: Path) -> None:
    found = problems(tmp_path, text)
    assert any(said in problem for problem in found), found
    assert all('device[0] "pond"' in problem for problem in found)


def test_a_template_that_is_not_there_is_told_once(tmp_path: Path) -> None:
    limit = '[[limit]]\nid = "high"\npoint = "pond.level"\nabove = { red = 420 }\n'
    assert len(problems(tmp_path, RADAR.replace("sen0676", "nothing") + limit)) == 1


def test_ones_own_template_lies_beside_the_site_file_and_goes_first(tmp_path: Path) -> None:
    own_template(tmp_path, "dfrobot-sen0676", MINE)
    found = site(tmp_path, RADAR.replace("height = 424.5\n", ""))
    assert found.devices[0].spec.points["pond.level"].register == 3
    assert found.templates == (tmp_path / "sensors" / "dfrobot-sen0676.toml",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('maker = "Me"\n', ""), "the key `maker` is missing"),
        (('trust = "M"', 'trust = "A"'), "trust: found “A”; allowed:"),
        (("step = 0.01", "step ="), "not TOML"),
        (('what = "level"', 'wat = "level"'), "did you mean `what`?"),
        (('id = "level"', 'id = "level-{n}"'), "`channels` and {n} in the id belong together"),
        (("register = 3", "regster = 3"), "did you mean `register`? (template mine)"),
        (("register = 3", "register = 70000"), "(template mine)"),
    ],
)
def test_a_wrong_template_of_ones_own_names_its_file(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    own_template(tmp_path, "mine", MINE.replace(*change))
    found = problems(tmp_path, '[[device]]\nid = "d"\ndevice = "mine"\nport = "bus"\n')
    assert any(said in problem for problem in found), found
    assert all("mine" in problem for problem in found)


def test_every_template_of_ours_is_whole(tmp_path: Path) -> None:
    for name in TEMPLATES:
        template = read_template(find(name, folders()) or tmp_path)
        assert template.sources
        assert all(point.get("name") for point in template.point), name
        found = site(tmp_path, "") if not template.point else None
        assert found is None
        shorts = str(template.point[0]["id"]).replace("{n}", "1")
        choice = f'points = ["{shorts}"]' if all(point.get("optional") for point in template.point) else ""
        load_text = site_text(name, choice)
        (tmp_path / "site.toml").write_text(load_text, "utf-8")
        assert load(tmp_path / "site.toml").points, name


def test_a_spoilt_template_does_not_stop_the_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last good copy has the templates that it was written out with."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    own_template(tmp_path, "mine", MINE)
    text = GATEWAY + PORT + '[[device]]\nid = "d"\ndevice = "mine"\nport = "bus"\n'
    file = tmp_path / "site.toml"
    file.write_text(text, "utf-8")
    good, said, keep = load_or_last_good(file)
    keep()
    assert said == []
    own_template(tmp_path, "mine", MINE.replace("register = 3", "register = 4"))  # right, and other: kept anew
    found, _, keep = load_or_last_good(file)
    keep()
    assert found.devices[0].spec.points["d.level"].register == 4
    own_template(tmp_path, "mine", MINE.replace("step", "stp"))
    found, said, _ = load_or_last_good(file)
    assert found.devices[0].spec.points["d.level"].register == 4
    assert any("running on the last good copy" in sentence for sentence in said)
    (tmp_path / "sensors" / "mine.toml").unlink()
    assert load_or_last_good(file)[0].points == good.points
    assert copy_path(file).with_name("site.toml.good.sensors").is_dir()


def test_a_slip_in_a_templates_range_is_not_run_nor_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The site file is the same, and its threshold can never be reached any more: with a new version of ours too."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    ranged = MINE.replace("register = 3", "register = 3\nrange = [0, 30]")
    own_template(tmp_path, "mine", ranged)
    file = tmp_path / "site.toml"
    limit = '[[limit]]\nid = "high"\npoint = "d.level"\nabove = { red = 12 }\n'
    file.write_text(f'{GATEWAY}{PORT}[[device]]\nid = "d"\ndevice = "mine"\nport = "bus"\n{limit}', "utf-8")
    load_or_last_good(file).keep()
    own_template(tmp_path, "mine", ranged.replace("[0, 30]", "[0, 3]"))
    for _ in range(2):
        loaded = load_or_last_good(file)
        loaded.keep()
        assert ends(loaded.site, "d.level") == (Decimal(0), Decimal(30))
        assert "running on the last good copy" in loaded.site.stands_in
    assert any("can never be reached" in sentence for sentence in loaded.said)
    own_template(tmp_path, "mine", ranged.replace("[0, 30]", "[0, 20]"))
    assert ends(load_or_last_good(file).site, "d.level") == (Decimal(0), Decimal(20))


FLOOD = '[[limit]]\nid = "flood"\npoint = "pond.level"\nabove = { red = 420 }\n'


def ends(found: Site, id_: str) -> tuple[Decimal | None, Decimal | None]:
    (point,) = [point for point in found.points if point.id == id_]
    return point.minimum, point.maximum


def test_a_range_is_made_of_what_the_site_knows(tmp_path: Path) -> None:
    geolux = RADAR.replace("dfrobot-sen0676", "geolux-lx80")
    assert ends(site(tmp_path, RADAR), "pond.level") == (Decimal("414.5"), Decimal("424.5"))
    assert ends(site(tmp_path, geolux + "reach = 15\n"), "pond.level") == (Decimal("409.5"), Decimal("424.5"))
    (problem,) = problems(tmp_path, geolux + FLOOD)  # and not that 420 can never be reached
    assert "the key `reach` is missing: the farthest it measures, by its model: 8, 15 or 30 in m" in problem
    probe = '[[device]]\nid = "p"\ndevice = "aquaread-leveline"\nport = "bus"\npoints = ["level", "pressure"]\n'
    found = site(tmp_path, probe + "sensor_height = 88\ndepth_rating = 20\n")
    assert ends(found, "p.level") == (Decimal(68), Decimal(108))
    assert ends(found, "p.pressure") == (Decimal("-1961.33"), Decimal("3061.33"))


def test_a_threshold_is_not_measured_against_a_range_that_design_does_not_know_yet(tmp_path: Path) -> None:
    geolux = RADAR.replace("dfrobot-sen0676", "geolux-lx80") + 'reach = "$reach"\n' + FLOOD
    (problem,) = problems(tmp_path, geolux + '[design]\nreach = "how far?"\n')
    assert problem.startswith("design → reach: is asked for")
    (problem,) = problems(tmp_path, geolux + "[design]\nreach = 4\n")
    assert "is reached by every value: pond.level measures 420.5 to 424.5 m" in problem


def test_a_point_with_another_scale_has_no_range_but_its_own(tmp_path: Path) -> None:
    depth = '[[device.point]]\npoint = "level"\nscale = 0.001\noffset = -2\n'
    assert ends(site(tmp_path, RADAR + depth), "pond.level") == (None, None)
    assert ends(site(tmp_path, RADAR + depth + "range = [-2, 8]\n"), "pond.level") == (Decimal(-2), Decimal(8))
    named = '[[device.point]]\npoint = "level"\nunit = "mSL"\n'
    assert ends(site(tmp_path, RADAR + named), "pond.level") == (Decimal("414.5"), Decimal("424.5"))


# What has no end but that of its register: counters, what a receiver says of itself, where the ground goes.
ENDLESS = re.compile(r"rain.*|tips|energy.*|(north|up|fix|accuracy|satellites)")


def test_every_point_has_a_range_or_says_why_not(tmp_path: Path) -> None:
    for name in TEMPLATES:
        text = (find(name, folders()) or tmp_path).read_text("utf-8")
        for block in text.split("[[point]]\n")[1:]:
            (short,) = re.findall(r'^id = "(.*)"$', block, re.MULTILINE)
            said = re.search(r"^range = |^# .*[Rr]ange", block, re.MULTILINE)
            assert said or ENDLESS.fullmatch(short), f"{name}: {short}"


def test_templates_cost_a_start_less_than_10_ms(tmp_path: Path) -> None:
    """A usual site: five kinds of instruments. Of several tries the best, for the machine has other work."""
    kinds = ("dfrobot-sen0676", "changsha-kunpeng-rain", "sanzhi-yingke-tilt", "dfrobot-sen0600", "epever-tracer")
    blocks = ""
    for unit, name in enumerate(kinds, 1):
        height = "height = 3\n" if name == "dfrobot-sen0676" else ""
        blocks += f'[[device]]\nid = "d{unit}"\ndevice = "{name}"\nport = "bus"\nunit = {unit}\n{height}'
    site(tmp_path, blocks)
    took_s = []
    for _ in range(7):
        began_s = time.process_time()
        load(tmp_path / "site.toml")
        took_s.append(time.process_time() - began_s)
    by_hand_s = []
    site(tmp_path, BY_HAND)
    for _ in range(7):
        began_s = time.process_time()
        load(tmp_path / "site.toml")
        by_hand_s.append(time.process_time() - began_s)
    assert min(took_s) - min(by_hand_s) < 0.010


def test_names_are_only_such_as_stay_in_their_folder(tmp_path: Path) -> None:
    own_template(tmp_path, "Mine Own", MINE)
    assert names((tmp_path / "sensors",)) == []
    assert find("../mine", (tmp_path / "sensors",)) is None


NOTHING = 65535  # of 16 bits: an address without a register, an instrument that has lost its sensor


@pytest.mark.parametrize("name", [name for name in TEMPLATES if template(name).driver == "modbus"])
def test_a_register_with_nothing_in_it_is_never_taken_for_a_value(name: str, tmp_path: Path) -> None:
    """Of every point that says what its instrument can show: marked, or too far beyond it to be believed."""
    site = site_of(tmp_path, site_text(name, choice(all_shorts(name))))
    believed = []
    for point in site.points:
        settings = site.devices[0].spec.points[point.id]
        if settings.type not in (None, "u16") or point.maximum is None or NOTHING in settings.invalid:
            continue
        if settings.vibrating_wire is not None:
            continue  # a frequency that no wire has; what it makes of it is further off still
        if settings.bit is not None:
            continue  # one bit of it: yes or no, whatever is in the others
        now = PointNow(point)
        now.take(NOTHING * settings.scale + settings.offset, Quality.GOOD, 0)
        if now.quality is not Quality.SUSPECT:
            believed.append(point.id)
    assert not believed


@pytest.mark.parametrize("behind_mm", [0.01, 0.02, 1.0, 15.0])
@pytest.mark.parametrize("name", ["jinan-bolin-cable", "changsha-kunpeng-displacement"])
def test_a_wire_that_has_gone_back_behind_its_zero_is_no_slide(name: str, behind_mm: float, tmp_path: Path) -> None:
    (point,) = site_of(tmp_path, site_text(name)).points
    now = PointNow(point)
    now.take(655.36 - behind_mm, Quality.GOOD, 0)
    assert now.quality is Quality.SUSPECT
