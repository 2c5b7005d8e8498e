"""The siren of the demonstration: a simulated relay on a wire of its own, and when it really was on.

It is the relay's own record that is shown, not what the gateway says of it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import NamedTuple

from sim.modbus import Running

SIREN_FILE = Path(__file__).parent / "siren.toml"
LOOK_S = 0.2  # between two looks at the relay's record


class Change(NamedTuple):
    """The relay has switched, at this UTC time."""

    at_ms: int
    on: bool


class Siren:
    """`news()` gives what the relay did since the last call; `on`: whether it sounds."""

    def __init__(self, relay: Running) -> None:
        self._relay = relay
        self._seen = 0
        self._looked_s = 0.0
        self.on = False

    def news(self) -> list[Change]:
        """Asks the relay now and then. Raises RuntimeError when it is gone."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_S:
            return []
        self._looked_s = now_s
        log = json.loads(self._relay.command("log 1"))
        new = [Change(round((time.time() - now_s + at_s) * 1000), bool(value)) for at_s, _, value in log[self._seen :]]
        self._seen = len(log)
        if new:
            self.on = new[-1].on
        return new
