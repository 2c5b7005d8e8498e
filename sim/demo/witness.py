"""A witness at the gateway's socket: writes down every round and alarm the gateway says it has taken, as they come.

Its book is the second one of the account: what it saw must be at the province, value for value. It watches through the
technician's own `watch`, in a thread, and comes back by itself after the gateway was killed. A restarted gateway may
raise an alarm before the witness is back, so each time it also asks for the alarms so far.
"""

from __future__ import annotations

import queue
import threading
from itertools import islice
from pathlib import Path
from typing import Any

from edge.control import ask, ask_once
from edge.errors import FengsuiError

AGAIN_S = 0.05

AlarmKey = tuple[str, str, str, int]  # limit, level, change, UTC ms
ReadingKey = tuple[int, str]  # UTC ms, point


class Witness:
    """Starts watching when made; `news()` gives what has come since the last call, and writes it down."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._queue: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._over = threading.Event()
        self.readings: dict[ReadingKey, float | None] = {}
        self.alarms: dict[AlarmKey, str] = {}
        self.values: dict[str, str] = {}
        threading.Thread(target=self._watch, name="witness", daemon=True).start()

    def news(self) -> list[dict[str, Any]]:
        """New alarms and events, oldest first; rounds are only written down."""
        items: list[dict[str, Any]] = []
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return items
            if self._is_news(item):
                items.append(item)

    def close(self) -> None:
        self._over.set()

    def _is_news(self, item: dict[str, Any]) -> bool:
        if "round" in item:
            for point, value in item["round"]["values"].items():
                self.readings[item["round"]["at_ms"], point] = None if value == "-" else float(value)
                self.values[point] = value
            return False
        if "alarm" in item:
            alarm = item["alarm"]
            key = (alarm["limit"], alarm["level"], alarm["change"], alarm["at_ms"])
            if key in self.alarms:
                return False
            self.alarms[key] = alarm["text"]
        return True

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                stream = ask(self._socket, {"ask": "watch"})
                for item in islice(stream, 1):  # only now is it surely watching
                    self._queue.put(item)
                for alarm in ask_once(self._socket, {"ask": "alarms"})["recent"]:
                    self._queue.put({"alarm": alarm})
                for item in stream:
                    self._queue.put(item)
            except (FengsuiError, ValueError):  # ValueError: a line the kill has cut in two
                self._over.wait(AGAIN_S)
