"""How what a body holds comes into the province's tables, and the lines that are said of its alarms.

Part of the transaction of its packet (sim/province.py); raises sqlite3.Error.
"""

from __future__ import annotations

from edge.wire import packet as wire
from edge.wire.sheet import Sheet
from sim.province_bodies import alarm_words, limit_name, readings, shown_alarm, summary_rows
from sim.province_store import IN_STEPS, Store


def store_body(
    store: Store, key: tuple[str, int], sheet: Sheet | None, body: wire.Body, new: set[int], now_ms: int
) -> list[str]:
    """Keeps the entries `new` of a body; gives the lines to be said. `key`: gateway, epoch of the entries; `sheet`: the
    one its packet named, else any of that epoch."""
    if isinstance(body, wire.Rounds) and sheet is not None:
        store.add_readings(readings(key, sheet, body, new, now_ms))
    elif isinstance(body, wire.Summaries) and sheet is not None:
        store.add_summaries(summary_rows(key, sheet, body, now_ms))
    elif isinstance(body, wire.Alarms):
        return _alarms(store, key, sheet, body, new, now_ms)
    elif isinstance(body, wire.Status | wire.Account) and new:
        table = "statuses" if isinstance(body, wire.Status) else "accounts"
        store.add_map(table, (*key, body.seq), body.at_ms, body.clock, body.values, now_ms)
    elif isinstance(body, wire.SheetPacket):
        store.add_sheet(*key, body.sheet, now_ms)
        return _explained(store, key, body.sheet)
    return []


def _alarms(
    store: Store, key: tuple[str, int], sheet: Sheet | None, body: wire.Alarms, new: set[int], now_ms: int
) -> list[str]:
    lines = []
    for seq, alarm in dict(body.alarms).items():
        if seq in new:
            shown = shown_alarm(alarm, sheet)
            words = alarm_words(alarm, shown, limit_name(alarm, sheet))
            store.add_alarm((*key, seq), alarm, shown, words, now_ms)
            lines.append(f"{key[0]}: ALARM {words}")
    return lines


def _explained(store: Store, key: tuple[str, int], sheet: Sheet) -> list[str]:
    """Alarms that came before their sheet are told in their unit now."""
    lines = []
    for seq, alarm in store.alarms_without_sheet(*key):
        shown = shown_alarm(alarm, sheet)
        if shown[2] != IN_STEPS:
            words = alarm_words(alarm, shown, limit_name(alarm, sheet))
            store.explain_alarm((*key, seq), shown, words)
            lines.append(f"{key[0]}: ALARM {words}")
    return lines
