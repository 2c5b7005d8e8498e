"""The whole way of a reading where there is no road: real processes, and a Beidou terminal as the only way out.

Modbus slaves on a TCP port, the installed gateway, a simulated terminal and satellite, the province with a card of its
own. The card's period is short, so that this ends soon; everything else is as it is with a civil one.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from drivers.beidou.slots import Saved, dump
from drivers.beidou.wire import Dialect
from edge.contract import Kind
from sim.beidou import cli as beidou
from sim.rig import SITE_CARD, Rig, point_table, port_table, until

PERIOD_S = 2.0
MESSAGE_S = (0.2, 0.8)  # a message on its way
PATIENCE_S = 60.0  # a request under way at the kill has to be taken for sent as late as can be: 19 s, then the slot
LIMITS = """
[[limit]]
id = "high"
point = "plc.1"
above = { yellow = 2000, red = 3000 }
"""


def has_run_before(rig: Rig) -> None:
    """The gateway remembers this card, and that its slot is free: one it has never seen has to wait 19 s first."""
    saved = Saved(
        boot=0,
        next_s=0.0,
        utc_ms=None,
        reserve_s=0.0,
        card=SITE_CARD,
        home=SITE_CARD,
        baud=115_200,
        dialect=Dialect.BDS3.value,
    )
    rig.store.mkdir()
    (rig.store / "link.beidou").write_bytes(dump(saved))


def link(rig: Rig) -> dict[str, Any]:
    """What the gateway says of its link; {} while it does not answer."""
    return (rig.asked("links") or {}).get("beidou") or {}


def held(rig: Rig) -> set[int]:
    """Rounds and alarms in the gateway's store (status and account wait for a wide link). It must not run."""
    with contextlib.closing(sqlite3.connect(rig.store / "outbox.db", timeout=5)) as db:
        kinds = (Kind.ROUNDS, Kind.ALARM)
        return {row[0] for row in db.execute("SELECT seq FROM entry WHERE kind IN (?, ?)", kinds)}


def at_province(rig: Rig) -> set[int]:
    return {row[0] for row in rig.province("SELECT seq FROM entries")}


def between_messages(rig: Rig) -> bool:
    """The last message's feedback has just come: the next slot is period and margin, 4 s, off."""
    now = link(rig)
    return bool(now) and not now["on_way"] and now["next_slot_s"] > 3


def signed(rig: Rig) -> bool:
    """The province's receipt for the alarm has come down."""
    now = link(rig)
    return bool(now) and now["received"] > 0 and now["queue"]["alarms"] == 0


def check_card(terminal: dict[str, int]) -> None:
    assert terminal["over_rate"] == 0
    assert terminal["requests"] - terminal["radiated"] in (0, 1)  # one may just be on its way out


def story(rig: Rig, terminals: beidou.Running) -> None:
    slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "2")
    has_run_before(rig)
    rig.start_province()
    rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 2, "1s") + LIMITS)

    # Readings: the site's description goes first, in pieces, then rounds, each value exact.
    rig.start_gateway()
    until("readings at the province", lambda: rig.one("SELECT COUNT(*) FROM readings"))
    assert set(rig.province("SELECT point, value FROM readings")) == {("plc.0", 1000.0), ("plc.1", 1001.0)}

    # A red alarm, and kill -9 before its slot has come: it goes in the card's next slot, not earlier.
    until("a message is out, the next one is not due", lambda: between_messages(rig))
    slaves.command("set 1 holding 1 3500")
    until("the limit is judged", lambda: (rig.asked("status") or {}).get("levels") == {"high": "red"})
    rig.kill("gateway")
    kept = held(rig)
    assert kept - at_province(rig)
    rig.start_gateway()
    until("the red alarm at the province", lambda: rig.one("SELECT COUNT(*) FROM alarms"), PATIENCE_S)
    assert rig.province("SELECT limit_id, level, value, threshold FROM alarms") == [("high", 4, 3500.0, 3000.0)]

    # Everything that was kept follows, and the province's receipt for the alarm comes back the same way.
    until("what was kept at the kill is at the province", lambda: kept <= at_province(rig), PATIENCE_S)
    until("the receipt has come down", lambda: signed(rig), PATIENCE_S)
    assert rig.account()["settled"] > 0
    assert rig.account()["balanced"]
    assert rig.stop("gateway") == 0
    assert rig.missing() == set()
    assert rig.repeated() == 0
    assert rig.one("SELECT COUNT(*) FROM alarms") == 1
    assert rig.province("SELECT DISTINCT link FROM packets") == [("beidou",)]
    assert rig.one("SELECT MAX(bytes) FROM packets") <= 77
    check_card(terminals.counts("site"))
    check_card(terminals.counts("province"))


def test_a_site_whose_only_way_out_is_beidou(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        story(rig, rig.start_beidou(period_s=PERIOD_S, delay_s=MESSAGE_S))
