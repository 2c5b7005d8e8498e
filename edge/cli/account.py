"""`fengsui outbox --account`: what became of each day's readings, point by point. Text only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge.cli.show import printable, span, table

HEADER = ("day", "point", "due", "taken", "settled", "held", "folded", "evicted", "failed", "online %", "complete %")
MONTH_H = 720.0
LONG_H = 8766.0  # a year


def account_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    """The answer of the daemon as a table."""
    return printable_lines(table("readings by day (UTC) and point", HEADER, [_cells(row) for row in rows]))


def _cells(row: Mapping[str, Any]) -> list[str]:
    plain = [_text(row[name]) for name in HEADER[:7]]
    reasons = [_reasons(row[name]) for name in ("evicted", "failed")]
    return [*plain, *reasons, _text(row["online_percent"]), _text(row["complete_percent"])]


def _text(value: Any) -> str:
    return "-" if value is None else str(value)


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {why}" for why, count in counts.items()) or "0"


def printable_lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def room_line(room: Mapping[str, Any] | None) -> str:
    """How long the store has room, "" where the daemon does not tell."""
    if not room:
        return ""
    loss = f"readings would be lost {_hours(room['loss_in_h'])}"
    if room["folding"]:
        return f"nearly full: the oldest readings are folded into summaries; {loss}"
    if room["folding_in_h"] is None:
        return "- (it does not fill)"
    return f"at the present rate folding starts {_hours(room['folding_in_h'])}; {loss}"


def _hours(hours: float | None) -> str:
    if hours is None:
        return "-"
    if hours > LONG_H:
        return "in more than a year"
    return f"in {span(hours * 3600)}" if hours < MONTH_H else f"in {round(hours / 24)} days"


def sums(account: Mapping[str, Any]) -> Iterator[str]:
    """The account in one line, and why something was evicted in another."""
    parts = [f"settled {account['settled']}", f"held {account['held']}"]
    parts += [f"folded {account['folded']}"] if account.get("folded") else []
    parts += [f"evicted {account['evicted']}"]
    wrong = "" if account["balanced"] else "  NOT BALANCED"
    yield f"taken {account['taken']} = {' + '.join(parts)} readings{wrong}"
    for why, (entries, readings) in account.get("evicted_by", {}).items():
        yield f"evicted, {why}: {entries} entries, {readings} readings"
