"""`fengsui outbox --account`, the room line of `status`, and the daemon that answers them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.cli.account import room_line
from edge.control import Refused
from sim.broker import mosquitto_path
from sim.rig import Rig, point_table, port_table, until
from tests.cli_daemon import STATUS, STORE, ask, daemon, says

ROWS = [
    {
        "day": "2026-11-21",
        "point": "pond.level",
        "due": 8640,
        "taken": 8640,
        "settled": 8000,
        "held": 600,
        "folded": 30,
        "evicted": {"quota": 10},
        "failed": {"no answer": 3, "refused": 2},
        "online_percent": 99.9,
        "complete_percent": 92.5,
    },
    {
        "day": "no time yet",
        "point": "绝壁",
        "due": None,
        "taken": 5,
        "settled": 0,
        "held": 5,
        "folded": 0,
        "evicted": {},
        "failed": {},
        "online_percent": None,
        "complete_percent": None,
    },
]
ACCOUNT = {
    "taken": 30,
    "settled": 4,
    "held": 5,
    "folded": 20,
    "evicted": 1,
    "evicted_by": {"quota": [1, 1]},
    "balanced": True,
}


def run(path: Path, *words: str) -> str:
    done = ask(path, *words)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_account_by_day_and_point_is_a_table(tmp_path: Path) -> None:
    asked: list[Any] = []

    async def account(request: Any) -> Any:
        asked.append(request["days"])
        return ROWS

    with daemon(tmp_path / "s", {"account": account}):
        text = run(tmp_path / "s", "outbox", "--account", "--days", "7")
        assert asked == [7]
        lines = text.splitlines()
        assert lines[0] == "readings by day (UTC) and point (2)"
        assert lines[1].split()[:3] == ["day", "point", "due"]
        assert "10 quota" in lines[2]
        assert "3 no answer, 2 refused" in lines[2]
        assert lines[2].split()[-2:] == ["99.9", "92.5"]
        assert lines[3].split()[-2:] == ["-", "-"]
        assert json.loads(run(tmp_path / "s", "outbox", "--account", "--json")) == ROWS


def test_what_was_folded_and_why_something_was_evicted_is_said(tmp_path: Path) -> None:
    with daemon(tmp_path / "s", {"outbox": says({**STORE, "account": ACCOUNT})}):
        text = run(tmp_path / "s", "outbox")
    assert "taken 30 = settled 4 + held 5 + folded 20 + evicted 1 readings" in text
    assert "evicted, quota: 1 entries, 1 readings" in text
    unbalanced = {**STATUS, "store": {**STORE, "account": {**ACCOUNT, "balanced": False}}}
    with daemon(tmp_path / "t", {"status": says(unbalanced)}):
        assert "NOT BALANCED" in run(tmp_path / "t", "status")


@pytest.mark.parametrize(
    ("room", "words"),
    [
        (None, ""),
        ({"folding": False, "folding_in_h": None, "loss_in_h": None}, "- (it does not fill)"),
        (
            {"folding": False, "folding_in_h": 53.0, "loss_in_h": 250_000},
            "at the present rate folding starts in 2 days; readings would be lost in more than a year",
        ),
        (
            {"folding": True, "folding_in_h": 0.0, "loss_in_h": 1000.0},
            "nearly full: the oldest readings are folded into summaries; readings would be lost in 42 days",
        ),
    ],
)
def test_how_long_there_is_room_is_one_line(room: Any, words: str) -> None:
    assert room_line(room) == words


@pytest.mark.skipif(mosquitto_path() is None, reason="NO MOSQUITTO: apt-get install mosquitto")
def test_the_daemon_accounts_for_the_day(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        slaves = rig.start_slaves("--tcp", "127.0.0.1:0", "--registers", "2")
        rig.start_broker()
        rig.start_province()
        rig.write_site(port_table("bus", slaves.address) + point_table("plc", "bus", 2, "200ms"), batch="1s")
        rig.start_gateway()
        until(
            "readings are settled", lambda: (rig.asked("outbox") or {"account": {"settled": 0}})["account"]["settled"]
        )
        rows = [row for row in rig.ask("account", days=2) if row["settled"]]
        assert {row["point"] for row in rows} == {"plc.0", "plc.1"}
        assert all(row["taken"] == row["settled"] + row["held"] for row in rows)
        assert all(row["due"] > 0 for row in rows)
        room = rig.ask("status")["store"]["room"]
        assert room == {"folding": False, "folding_in_h": None, "loss_in_h": None}
        with pytest.raises(Refused, match="days must be a whole number from 1 to 400"):
            rig.ask("account", days=0)
