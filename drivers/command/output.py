"""Runs the one command or the other. A `contract.Output`.

Each run has a thread of its own: starting a program reads it from the disk, and a disk that hangs must hold up nothing
but this. While one still runs (or hangs), no other is begun.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.command import CommandOutput
from drivers.duration import parse_duration_s
from edge.contract import Switched

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
GRACE_S = 1.0  # for the kill to be seen


class Command:
    """One output."""

    hold_s: float | None = None
    readable = False

    def __init__(self, settings: CommandOutput) -> None:
        self._words = {True: settings.run_on, False: settings.run_off}
        self._timeout_s = parse_duration_s(settings.timeout)
        self._running: threading.Thread | None = None
        self._counts = dict.fromkeys(("runs", "done", "failed"), 0)

    async def switch(self, on: bool, for_s: float, text: str = "") -> Switched:
        words = self._words[on]
        if self._running is not None and self._running.is_alive():
            return Switched(None, f"not run: the last command still runs, {words[0]} waits for its end")
        self._counts["runs"] += 1
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()

        def tell(why: str) -> None:
            if not done.done():
                done.set_result(why)

        def work() -> None:
            why = _run(words, self._timeout_s)
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, why)

        self._running = threading.Thread(target=work, name="command", daemon=True)
        self._running.start()
        try:
            async with asyncio.timeout(self._timeout_s + 2 * GRACE_S):
                why = await done
            self._running = None
        except TimeoutError:
            why = f"{words[0]} can not even be started: does its disk hang?"
        self._counts["failed" if why else "done"] += 1
        return Switched(None if why else on, why)

    async def read(self) -> Switched:
        return Switched(None, "a command can not be asked")

    def health(self) -> Mapping[str, Any]:
        return dict(self._counts)


def _run(words: Sequence[str], timeout_s: float) -> str:
    """Runs one command to its end; what is wrong, or ""."""
    nothing = subprocess.DEVNULL
    try:
        child = subprocess.Popen(
            list(words), stdin=nothing, stdout=nothing, stderr=nothing, env=ENVIRONMENT, cwd="/", start_new_session=True
        )
    except (OSError, ValueError) as error:
        return f"{words[0]} can not be run: {getattr(error, 'strerror', None) or error}"
    try:
        code = child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return f"{words[0]} was killed: no end in {timeout_s:g} s"
    return f"{words[0]} ended with code {code}" if code else ""
