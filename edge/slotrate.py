"""What slots can carry, measured: bytes a reading takes on this way against bytes a second of its slots. Pure.

full       every round fits: all rounds, newest first
live       rounds fit as they come in, but not what has piled up: summaries of that by turns
summaries  not even these: "where we are now" each NOW_EVERY_S (edge/slotways.py), else summaries; a wide link
           brings the full record
"""

from __future__ import annotations

import math

from edge.wire.sheet import Sheet

DRAIN_MOST_S = 12 * 3600.0  # what has piled up goes as it is if that takes no longer
USABLE_SHARE = 0.85  # of the slots' bytes: 5 % of messages are lost, some are alarms
FIRST_BYTES_A_READING = 0.8
FIRST_BYTES_AN_ALARM = 20.0
SMOOTHING = 0.2
FORGETTING = 0.02
FULL, LIVE, SUMMARIES = "full", "live", "summaries"


class SlotRate:
    """Of one link. Begins with what is usual, and learns from each packet."""

    def __init__(self) -> None:
        self._bytes_a_reading = FIRST_BYTES_A_READING
        self._bytes_an_alarm = FIRST_BYTES_AN_ALARM

    def mode(self, sheet: Sheet | None, room_bytes: int, slot_s: float, held_readings: int) -> str:
        """FULL, LIVE or SUMMARIES."""
        if sheet is None:
            return FULL
        readings_a_second = sum(len(group.points) * 1000 / group.every_ms for group in sheet.groups)
        room = USABLE_SHARE * max(1, room_bytes) / max(1.0, slot_s)
        spare = room - readings_a_second * self._bytes_a_reading
        if spare < 0:
            return SUMMARIES
        return FULL if held_readings * self._bytes_a_reading <= spare * DRAIN_MOST_S else LIVE

    def rounds(self, size_bytes: int, readings: int) -> None:
        """Of several rounds of so many readings a body was made."""
        share = size_bytes / max(1, readings)
        self._bytes_a_reading += SMOOTHING * (share - self._bytes_a_reading)

    def summary(self) -> None:
        """Rounds are not measured meanwhile: what is believed of them fades, so that they are tried again."""
        self._bytes_a_reading += FORGETTING * (FIRST_BYTES_A_READING - self._bytes_a_reading)

    def alarms(self, size_bytes: int, count: int) -> None:
        """Of so many alarms a body was made."""
        self._bytes_an_alarm = size_bytes / count

    def messages(self, alarms: int, readings: int, room_bytes: int) -> int:
        """How many packets so many alarms and readings take."""
        an_alarm = max(1.0, room_bytes // self._bytes_an_alarm)
        return math.ceil(alarms / an_alarm) + math.ceil(readings * self._bytes_a_reading / room_bytes)
