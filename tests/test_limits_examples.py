"""Worked examples: the tables of the standards, as a site file writes them, with their sources.

The numbers are starting values of published tables; a site has its own where the table says "by design".
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from edge.contract import Level
from tests.limit_sites import Played, limit, point, site_of

NONE, BLUE, YELLOW, ORANGE, RED = Level
MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0

# -- rain --------------------------------------------------------------------------------------------------------------

# The four rain signals: 50 mm in 12 h blue, in 6 h yellow, in 3 h orange, 100 mm in 3 h red (science popularisation of
# the CMA's signals, kepuchina article 522041).
RAIN_SIGNALS = """of = "sum"
counter = true
above = { blue = { 12h = 50 }, yellow = { 6h = 50 }, orange = { 3h = 50 }, red = { 3h = 100 } }
"""


@pytest.mark.parametrize(
    ("mm_an_hour", "hours", "levels"),
    [
        (4.0, 24, []),  # 48 mm in 12 h
        (4.2, 13, [BLUE]),  # 50.4 mm in 12 h, 25.2 in 6 h
        (8.5, 6, [BLUE, YELLOW]),
        (17.0, 3, [ORANGE]),  # 50 mm within 3 h is 50 mm within 6 and 12 h too
        (34.0, 3, [ORANGE, RED]),
    ],
)
def test_rain_signals_kepuchina_522041(mm_an_hour: float, hours: int, levels: list[Level], tmp_path: Path) -> None:
    played = Played(site_of(tmp_path, point("rain", step="0.1"), limit("storm", "rain", RAIN_SIGNALS)))
    minutes = hours * 60
    played.play("rain", [round(mm_an_hour * i / 60, 1) for i in range(minutes + 1)], MINUTE_S)
    if levels == [BLUE, YELLOW]:  # 50 mm in the first 6 h are 50 mm in 12 h in the same minute: the higher is told
        levels = [YELLOW]
    assert [level for _, level in played.told()] == levels
    for at_s, level in played.told():
        needed = 100 if level is RED else 50
        assert at_s == pytest.approx(needed / mm_an_hour * HOUR_S, abs=2 * MINUTE_S)


def test_a_rain_signal_is_over_when_its_window_has_passed(tmp_path: Path) -> None:
    played = Played(site_of(tmp_path, point("rain"), limit("storm", "rain", RAIN_SIGNALS)))
    fallen = [min(60.0, round(i * 0.5, 1)) for i in range(24 * 60)]  # 60 mm in the first two hours
    played.play("rain", fallen, MINUTE_S)
    assert [level for _, level in played.told()] == [ORANGE, YELLOW, BLUE, NONE]
    # Down again when less than 50 of the 60 mm are inside: 3, 6 and 12 h after the first 10 mm.
    ends = [at_s for at_s, _ in played.told()[1:]]
    assert ends == pytest.approx([h * HOUR_S + 20 * MINUTE_S for h in (3, 6, 12)], abs=3 * MINUTE_S)


def test_tailings_storm_50_mm_in_24_h_gb_51108_8_3(tmp_path: Path) -> None:
    """Yellow at a storm, 50 mm in 24 h (jianbiaoku 77001/4723623); the classes 100 and 250 above it."""
    rule = 'of = "sum"\nwindow = "24h"\ncounter = true\nabove = { yellow = 50, orange = 100, red = 250 }'
    played = Played(site_of(tmp_path, point("rain"), limit("storm", "rain", rule)))
    played.play("rain", [round(i * 0.04, 1) for i in range(3000)], MINUTE_S)  # 57.6 mm a day, for two days
    assert [level for _, level in played.told()] == [YELLOW]
    assert played.told()[0][0] == pytest.approx(50 / 0.04 * MINUTE_S, abs=3 * MINUTE_S)


FLASH_FLOOD = {  # one county's table, fymate 17315988: an example of the shape
    "blue": {1: 35, 3: 55, 6: 70, 24: 100},
    "yellow": {1: 45, 3: 75, 6: 95, 24: 130},
    "orange": {1: 60, 3: 100, 6: 120, 24: 160},
    "red": {1: 80, 3: 120, 6: 150, 24: 200},
}


@pytest.mark.parametrize("hours", [1, 3, 6, 24])
@pytest.mark.parametrize("level", FLASH_FLOOD)
def test_flash_flood_table_fymate_17315988(level: str, hours: int, tmp_path: Path) -> None:
    """So much in so many hours is this level: not a tenth of a millimetre less."""
    colours = ", ".join(
        f"{name} = {{ " + ", ".join(f"{h}h = {mm}" for h, mm in row.items()) + " }" for name, row in FLASH_FLOOD.items()
    )
    site = site_of(tmp_path, point("rain", every="10min"), limit("f", "rain", f'of = "sum"\nabove = {{ {colours} }}'))
    played, more = Played(site), Played(site)
    wanted, total = Level[level.upper()], FLASH_FLOOD[level][hours]
    readings = hours * 6
    each, rest = divmod(total * 10 - 1, readings)
    played.play("rain", [(each + (1 if i < rest else 0)) / 10 for i in range(readings)], 600.0)
    assert played.limits.levels()["f"] < wanted
    each, rest = divmod(total * 10, readings)
    more.play("rain", [(each + (1 if i < rest else 0)) / 10 for i in range(readings)], 600.0)
    assert more.limits.levels()["f"] >= wanted


# -- gas ---------------------------------------------------------------------------------------------------------------

# Methane in % (AQ 1029; 360docs.net/doc/1b11497725.html): where, alarm from, cut-off from, restored below.
GAS_TABLE = [
    ("upper corner T0", 1.0, 1.5, 1.0),
    ("coal face T1", 1.0, 1.5, 1.0),
    ("face return T2", 1.0, 1.0, 1.0),
    ("face intake T3", 0.5, 0.5, 0.5),
    ("second face T5", 1.0, 1.5, 1.0),
    ("second face return T6", 1.0, 1.0, 1.0),
    ("gas-drainage lane T7", 2.5, 2.5, 2.5),
    ("return of several faces T8", 1.0, 1.0, 1.0),
    ("coal cutter", 1.0, 1.5, 1.0),
    ("heading face T1", 1.0, 1.5, 1.0),
    ("heading in series", 0.5, 0.5, 0.5),
    ("fan of a heading in series", 0.5, 1.5, 0.5),
]


@pytest.mark.parametrize(("where", "alarm", "cut", "restore"), GAS_TABLE, ids=[row[0] for row in GAS_TABLE])
def test_gas_alarm_cut_off_and_restore_aq_1029(
    where: str, alarm: float, cut: float, restore: float, tmp_path: Path
) -> None:
    """Alarm and cut-off are limits of their own; restore is the clear value of the cut-off, never a share of it."""
    played = Played(
        site_of(
            tmp_path,
            point("ch4", "%", "0.01", "1s"),
            limit("alarm", "ch4", f"above = {{ yellow = {alarm} }}"),
            limit("cut", "ch4", f"above = {{ red = {cut} }}\nclear = {{ red = {restore} }}"),
        )
    )
    high = max(alarm, cut)
    values = [0.0, alarm - 0.01, alarm, cut - 0.01, cut, high + 1, restore + 0.01, restore, restore - 0.01, 0.0]
    seen = []
    for index, value in enumerate(values):
        played.take("ch4", value, float(index))
        levels = played.limits.levels()
        seen.append((levels["alarm"] is YELLOW, levels["cut"] is RED))
    for (is_alarm, is_cut), value in zip(seen[:6], values, strict=False):  # on the way up
        assert (is_alarm, is_cut) == (value >= alarm - 1e-9, value >= cut - 1e-9)
    assert [is_cut for _, is_cut in seen[6:]] == [True, True, False, False]  # at the restore value it is not yet below


def test_two_levels_of_toxic_and_combustible_gas_777doc_6721479(tmp_path: Path) -> None:
    """Surface gas: CO 24 / 160 ppm, H2S 6 / 20 ppm, combustible 10 / 50 % LEL, oxygen 19.5 to 23 %."""
    site = site_of(
        tmp_path,
        point("co", "ppm", "1"),
        point("o2", "%", "0.1"),
        limit("co", "co", "above = { yellow = 24, red = 160 }"),
        limit("o2", "o2", "outside = { red = [19.5, 23.0] }"),
    )
    played = Played(site)
    assert [played.take("co", value, float(i)) for i, value in enumerate([23, 24, 159, 160, 0])] == [
        *([], [YELLOW], [], [RED], [NONE]),
    ]
    assert [played.take("o2", v, float(i)) for i, v in enumerate([20.9, 19.5, 19.4, 19.5, 23.0, 23.1, 21.0])] == [
        *([], [], [RED], [NONE], [], [RED], [NONE]),
    ]


# -- wind --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("road", "low", "high"),
    [
        ("face and coal heading", 0.25, 4.0),
        ("rock heading", 0.15, 4.0),
        ("conveyor and district roads", 0.25, 6.0),
        ("trolley roads", 1.0, 8.0),
    ],
)
def test_mine_air_velocity_dukashe_400599(road: str, low: float, high: float, tmp_path: Path) -> None:
    """The ends themselves are allowed."""
    rule = f"outside = {{ yellow = [{low}, {high}] }}"
    played = Played(site_of(tmp_path, point("air", "m/s", "0.01"), limit("air", "air", rule)))
    values = [2.0, low, low - 0.01, low, high, high + 0.01, high]
    levels = [played.take("air", value, float(i)) for i, value in enumerate(values)]
    assert levels == [[], [], [YELLOW], [NONE], [], [YELLOW], [NONE]]


def test_beaufort_of_the_ten_minute_mean_sl_651_app_f(tmp_path: Path) -> None:
    """Force 6 from 10.8, 7 from 13.9, 8 from 17.2, 9 from 20.8 m/s (SL 651-2014, appendix F)."""
    rule = 'of = "mean"\nwindow = "10min"\nabove = { blue = 10.8, yellow = 13.9, orange = 17.2, red = 20.8 }'
    for speed, level in [(10.7, NONE), (10.8, BLUE), (13.8, BLUE), (13.9, YELLOW), (17.2, ORANGE), (20.8, RED)]:
        played = Played(site_of(tmp_path, point("wind", "m/s"), limit("gale", "wind", rule)))
        gusts = [speed + (3 if i % 2 else -3) for i in range(20)]  # a gust is not a mean
        assert played.play("wind", gusts, MINUTE_S).limits.levels()["gale"] is level


# -- slopes ------------------------------------------------------------------------------------------------------------

# Tangent angle on the normalised curve (springeropen JWCN 2021 s13638-021-02033-y, table 1; Xu Qiang): 45 to 80 degrees
# the start of acceleration, 80 to 85 the middle, from 85 the final stage. Uniform creep is about 45: yellow is set
# where the angle has clearly left it.
ANGLE = """of = "tangent_angle"
window = "2d"
per = "1d"
uniform = 1.2
noise = 0.5
above = { yellow = 55, orange = 80, red = 85 }
"""


@pytest.mark.parametrize(
    ("degrees", "level"),
    [(20, NONE), (45, NONE), (60, YELLOW), (79, YELLOW), (81, ORANGE), (84, ORANGE), (86, RED), (89, RED)],
)
def test_tangent_angle_jwcn_2021_table_1(degrees: float, level: Level, tmp_path: Path) -> None:
    """dS/dt of v tan(a) is the angle a, whatever the unit: T = S / v."""
    velocity = 1.2 * math.tan(math.radians(degrees))  # mm a day
    played = Played(site_of(tmp_path, point("gnss", "mm", "0.01", "10min"), limit("creep", "gnss", ANGLE)))
    played.play("gnss", (velocity * i / 144 for i in range(3 * 144)), 600.0)
    assert played.limits.levels()["creep"] is level
    angle = played.limits.judged["creep"].parts[0].value
    assert angle is not None
    assert angle / 10 == pytest.approx(degrees, abs=0.2)


def test_a_point_that_sinks_has_an_angle_too(tmp_path: Path) -> None:
    rule = ANGLE.replace("1.2", "-1.2")
    played = Played(site_of(tmp_path, point("gnss", "mm", "0.01", "10min"), limit("creep", "gnss", rule)))
    played.play("gnss", (-1.2 * 20 * i / 144 for i in range(3 * 144)), 600.0)
    assert played.limits.levels()["creep"] is RED


def test_movement_within_the_noise_is_no_acceleration(tmp_path: Path) -> None:
    """The noise floor of a GNSS point is some millimetres: 2 mm in two days at 0.1 mm a day are no 84 degrees."""
    rule = ANGLE.replace("uniform = 1.2", "uniform = 0.1").replace("noise = 0.5", "noise = 5")
    played = Played(site_of(tmp_path, point("gnss", "mm", "0.01", "10min"), limit("creep", "gnss", rule)))
    played.play("gnss", (1.0 * i / 144 for i in range(3 * 144)), 600.0)
    assert played.told() == []


@pytest.mark.parametrize(("mm_a_day", "told"), [(9.7, False), (10.3, True)])
def test_open_pit_10_mm_a_day_jianbiaoku_100952(mm_a_day: float, told: bool, tmp_path: Path) -> None:
    rule = 'of = "rate"\nwindow = "1d"\nper = "1d"\nabove = { yellow = 10 }'
    played = Played(site_of(tmp_path, point("bench", "mm", "0.1", "10min"), limit("move", "bench", rule)))
    played.play("bench", (mm_a_day * i / 144 for i in range(300)), 600.0)
    assert bool(played.told()) is told


def test_working_wall_5_mm_an_hour_jianbiaoku_100952(tmp_path: Path) -> None:
    rule = 'of = "rate"\nwindow = "1h"\nabove = { red = 5 }'
    played = Played(site_of(tmp_path, point("wall", "mm", "0.1"), limit("wall", "wall", rule)))
    played.play("wall", (max(0.0, 6 * (i - 600) / 60) for i in range(700)), MINUTE_S)
    [(at_s, level)] = played.told()
    assert level is RED
    assert 600 * MINUTE_S < at_s <= 650 * MINUTE_S


def test_cumulative_movement_of_a_slope_6_thousandths_of_its_height_jianbiaoku_100952(tmp_path: Path) -> None:
    """H = 100 m: 600 mm since the start of the record."""
    rule = 'of = "total"\nstart = 12.5\nabove = { red = 600 }'
    played = Played(site_of(tmp_path, point("x"), limit("moved", "x", rule)))
    levels = [played.take("x", value, i * HOUR_S) for i, value in enumerate([12.5, 300, 612.4, 612.5])]
    assert levels == [[], [], [], [RED]]


# -- tailings ----------------------------------------------------------------------------------------------------------


def test_phreatic_depth_orange_at_1_1_of_the_design_depth_gb_51108_8_3(tmp_path: Path) -> None:
    rule = 'of = "ratio"\nto = 4.0\nbelow = { orange = 1.1, red = 1.0 }'
    played = Played(site_of(tmp_path, point("depth", "m", "0.01"), limit("line", "depth", rule)))
    levels = [played.take("depth", value, float(i)) for i, value in enumerate([5.0, 4.41, 4.4, 4.01, 4.0])]
    assert levels == [[], [], [ORANGE], [], [RED]]


ITEM = 'rollup = { yellow = "4 blue", orange = "3 yellow", red = "2 orange" }\namong = [%s]\n'


@pytest.mark.parametrize(
    ("members", "level"),
    [
        ("bbb", BLUE),
        ("bbbb", YELLOW),  # 4 blue make yellow
        ("yy", YELLOW),
        ("yyy", ORANGE),  # 3 yellow make orange
        ("o", ORANGE),
        ("oo", RED),  # 2 orange make red
        ("yybbb", YELLOW),
        ("yybbbb", ORANGE),  # 4 blue items at once count as one yellow item
        ("oyyy", ORANGE),  # but 3 yellow do not count as one orange: the source says so of blue ones only
        ("r", RED),
        ("", NONE),
    ],
)
def test_tailings_roll_up_gb_51108_8_3(members: str, level: Level, tmp_path: Path) -> None:
    """Roll-up within one item (GB 51108-2015, 8.3; jianbiaoku 171245 and 77001)."""
    names = [f"p{i}" for i in range(7)]
    rules = [limit(name, name, "above = { blue = 1, yellow = 2, orange = 3, red = 4 }") for name in names]
    listed = ", ".join(f'"{name}"' for name in names)
    rolled = f'[[limit]]\nid = "item"\n{ITEM % listed}'
    played = Played(site_of(tmp_path, *(point(name, "m", "1") for name in names), *rules, rolled))
    for name, colour in zip(names, members, strict=False):
        played.take(name, 1 + "byor".index(colour), 0.0)
    assert played.limits.levels()["item"] is level
    for name in names:
        played.take(name, 0, 1.0)
    assert played.limits.levels()["item"] is NONE
