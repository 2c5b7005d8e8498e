"""How what a body holds comes into the province's tables, and the lines that are said of its alarms.

Part of the transaction of its packet (sim/province.py); raises sqlite3.Error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edge.contract import Alarm
from edge.wire import packet as wire
from edge.wire.sheet import Sheet
from sim.province_bodies import alarm_words, limit_name, readings, sheet_of_alarm, shown_alarm, summary_rows
from sim.province_store import Shown, Store


class Sheets(NamedTuple):
    """The sheet that a packet named, and all that are known of its gateway."""

    named: Sheet | None
    known: Sequence[Sheet]


def store_body(
    store: Store, key: tuple[str, int], sheets: Sheets, body: wire.Body, new: set[int], now_ms: int
) -> list[str]:
    """Keeps the entries `new` of a body; gives the lines to be said. `key`: gateway, epoch of the entries."""
    sheet = sheets.named
    if isinstance(body, wire.Rounds) and sheet is not None:
        store.add_readings(readings(key, sheet, body, new, now_ms))
    elif isinstance(body, wire.Summaries) and sheet is not None:
        store.add_summaries(summary_rows(key, sheet, body, now_ms))
    elif isinstance(body, wire.Alarms):
        return _alarms(store, key, sheets, body, new, now_ms)
    elif isinstance(body, wire.Status | wire.Account) and new:
        table = "statuses" if isinstance(body, wire.Status) else "accounts"
        store.add_map(table, (*key, body.seq), body.at_ms, body.clock, body.values, now_ms)
    elif isinstance(body, wire.SheetPacket):
        store.add_sheet(*key, body.sheet, now_ms)
        return _explained(store, key[0], body.sheet, sheets.known)
    return []


def _alarms(
    store: Store, key: tuple[str, int], sheets: Sheets, body: wire.Alarms, new: set[int], now_ms: int
) -> list[str]:
    lines = []
    for seq, alarm in dict(body.alarms).items():
        if seq in new:
            shown, words = _told(alarm, sheets.named or sheet_of_alarm(sheets.known, key[1], seq, alarm))
            store.add_alarm((*key, seq), alarm, shown, words, now_ms)
            if sheets.named is None:
                store.add_plain_alarm((*key, seq), wire.encode_alarms(None, [(seq, alarm)]))
            lines.append(f"{key[0]}: ALARM {words}")
    return lines


def _told(alarm: Alarm, sheet: Sheet | None) -> tuple[Shown, str]:
    shown = shown_alarm(alarm, sheet)
    return shown, alarm_words(alarm, shown, limit_name(alarm, sheet))


def _explained(store: Store, gateway: str, sheet: Sheet, known: Sequence[Sheet]) -> list[str]:
    """A sheet has come: alarms that were told without theirs, and may be of this one, are told anew where they read
    otherwise now."""
    lines = []
    for seq, said, plain in store.plain_alarms(gateway, sheet.epoch, sheet.seq0):
        body = wire.decode(plain, None)
        assert isinstance(body, wire.Alarms)
        [(_, alarm)] = body.alarms
        shown, words = _told(alarm, sheet_of_alarm(known, sheet.epoch, seq, alarm))
        if words != said:
            store.explain_alarm((gateway, sheet.epoch, seq), shown, words)
            lines.append(f"{gateway}: ALARM {words}")
    return lines
