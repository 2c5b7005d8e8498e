"""How the verbs show what they have: times."""

from __future__ import annotations

from edge.cli.show import LAST_DATE_MS, clock_time


def test_times_that_are_no_dates() -> None:
    assert clock_time(None) == "-"
    assert clock_time(5_000) == "boot+5s"
    assert clock_time(LAST_DATE_MS).startswith("9999-12-31")
    assert clock_time(2**53 - 1) == "9007199254740991 ms"
