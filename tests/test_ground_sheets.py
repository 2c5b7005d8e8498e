"""Which sheet the province takes for an alarm that came without one: never another site's unit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest

from edge.contract import Alarm, Change, Level, Rule
from edge.wire import packet as wire
from edge.wire.sheet import Sheet, SheetGroup, SheetLimit, SheetPoint
from sim.province_store import IN_STEPS
from tests.test_ground_province import EPOCH, GATEWAY, MINUTE_MS, T0_MS, Gateway, make_province, query

SHOWN = "SELECT value, threshold, unit FROM alarms"
STEPS, MM, M = (500.0, 400.0, IN_STEPS), (500.0, 400.0, "mm"), (5.0, 4.0, "m")


def sheet(seq0: int, step: str, unit: str, name: str, red: int = 400) -> Sheet:
    point = SheetPoint("level", unit, Decimal(step), None, None)
    limit = SheetLimit("high", "level", int(Rule.ABOVE), ((Level.RED, red),), name)
    return Sheet(GATEWAY, EPOCH, seq0, T0_MS + seq0, (SheetGroup(MINUTE_MS, (point,)),), (limit,))


OLD, NEW = sheet(1, "0.01", "m", "in metres"), sheet(100, "1", "mm", "in millimetres")
ALARM = Alarm("high", "level", Level.RED, Change.RAISED, Rule.ABOVE, 500, 400, T0_MS)


def played(db: Path, seq: int, alarm: Alarm, order: tuple[Sheet | None, ...]) -> tuple[list[object], list[str]]:
    """What is shown of an alarm after each of `order` has come (None: the alarm), and the lines that were said."""
    lines: list[str] = []
    province, gateway, shown = make_province(db, lines), Gateway(), list[object]()
    for turn, one in enumerate(order):
        body = wire.encode_sheet(one.seq0, one) if one else wire.encode_alarms(None, [(seq, alarm)])
        province.receive(GATEWAY, gateway.pack(body, sheet=False), T0_MS + turn)
        shown += query(db, SHOWN)
    province.close()
    return shown, [line for line in lines if "ALARM" in line]


@pytest.mark.parametrize(("seq", "right", "name"), [(150, MM, NEW), (101, MM, NEW), (99, M, OLD), (50, M, OLD)])
def test_in_whatever_order_sheets_come_an_alarm_ends_in_its_own_unit(
    tmp_path: Path, seq: int, right: object, name: Sheet
) -> None:
    for turn, order in enumerate(permutations((OLD, NEW, None))):
        shown, lines = played(tmp_path / f"{turn}.db", seq, ALARM, order)
        assert shown[-1] == right, order
        assert name.limits[0].name in lines[-1], order


def test_with_a_later_sheet_only_an_alarm_is_told_in_steps_until_its_own_comes(tmp_path: Path) -> None:
    assert played(tmp_path / "a.db", 50, ALARM, (NEW, None, OLD))[0] == [STEPS, M]
    assert played(tmp_path / "b.db", 50, ALARM, (None, NEW, OLD))[0] == [STEPS, STEPS, M]


def test_an_alarm_of_another_limit_than_the_earlier_sheet_has_is_told_in_steps(tmp_path: Path) -> None:
    """It was made under a sheet that is still to come: nothing else gives a threshold that the sheet does not know."""
    other = replace(OLD, limits=(replace(OLD.limits[0], levels=((int(Level.RED), 40),)),))
    assert played(tmp_path / "a.db", 150, ALARM, (other, None, NEW))[0] == [STEPS, MM]
    assert played(tmp_path / "b.db", 150, ALARM, (replace(OLD, limits=()), None, NEW))[0] == [M, MM]
    ended = replace(ALARM, level=Level.NONE, change=Change.CLEARED)
    assert played(tmp_path / "c.db", 150, ended, (other, None))[0] == [M]


def test_a_better_sheet_changes_the_name_of_an_alarm_that_has_its_unit_already(tmp_path: Path) -> None:
    silent = replace(ALARM, rule=Rule.STALE, value=None, threshold=600)
    stale = (replace(OLD.limits[0], rule=int(Rule.STALE), levels=((int(Level.RED), 600),)),)
    first = replace(OLD, limits=stale)
    second = replace(NEW, limits=(replace(stale[0], name="renamed"),))
    lines = played(tmp_path / "a.db", 150, silent, (first, None, second))[1]
    assert len(lines) == 2
    assert "in metres" in lines[0]
    assert "renamed" in lines[1]


def test_an_alarm_whose_packet_named_its_sheet_stays_as_it_is(tmp_path: Path) -> None:
    province, gateway = make_province(tmp_path / "p.db"), Gateway(sheet=OLD)
    province.receive(GATEWAY, gateway.sheet_packet(), T0_MS)
    province.receive(GATEWAY, gateway.alarm(150, ALARM), T0_MS + 1)
    province.receive(GATEWAY, gateway.pack(wire.encode_sheet(100, NEW), sheet=False), T0_MS + 2)
    assert query(tmp_path / "p.db", SHOWN) == [M]
