"""Runs the one command or the other. A `contract.Output`.

Each run has a thread of its own: starting a program reads it from the disk, and a disk that hangs must hold up nothing
but this. An order first kills what the one before has begun, and what that has left running in its process group: what
is wanted now counts. While one can not even be killed (its program is on a disk that hangs), no other is begun; it dies
as soon as it begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from drivers.command import CommandOutput
from drivers.duration import parse_duration_s
from edge.contract import Switched

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
GRACE_S = 1.0  # for the kill to be seen
LOOK_S = 0.005  # how often it is looked whether a program has ended: an order to a relay takes as long


class _Run:
    """One command on its way, in a thread of its own, and what it leaves running in its process group. `ended`: what
    was wrong, "" if nothing, once the program itself has ended; it is kept unburied so long, as a zombie, so that its
    number stays that of its group and nothing else can be killed by it."""

    def __init__(self, words: Sequence[str], timeout_s: float) -> None:
        self._words, self._timeout_s = words, timeout_s
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._unwanted = False
        self.ended: asyncio.Future[str] = self._loop.create_future()
        threading.Thread(target=self._work, name="command", daemon=True).start()

    def kill(self) -> None:
        """All of its process group; one that has not begun yet never will for longer than it takes to see."""
        with self._lock:
            self._unwanted = True
            if self._child is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):  # gone; or another user's by now
                    os.killpg(self._child.pid, signal.SIGKILL)

    def bury(self) -> None:
        """When it has ended, and all it left was killed."""
        with self._lock:
            if self._child is not None:
                self._child.poll()  # not wait: one whose end could not be seen may live, and this blocks everything
                self._child = None

    def _work(self) -> None:
        try:
            why = self._run()
        except ChildProcessError:
            why = f"{self._words[0]} has ended, nobody knows how: this process was started with SIGCHLD ignored"
            with self._lock:
                self._child = None  # its number is free again: nothing may be killed by it
        except Exception as error:  # noqa: BLE001 whatever it is: an end that is never told makes the output dead
            why = f"{self._words[0]} failed, a fault of ours: {type(error).__name__}: {error}"
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile: nobody asks any more
            self._loop.call_soon_threadsafe(self._tell, why)

    def _tell(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)

    def _run(self) -> str:
        nothing, program = subprocess.DEVNULL, self._words[0]
        how: dict[str, Any] = {"stdin": nothing, "stdout": nothing, "stderr": nothing, "env": ENVIRONMENT, "cwd": "/"}
        try:
            child = subprocess.Popen(list(self._words), start_new_session=True, **how)
        except (OSError, ValueError) as error:
            return f"{program} can not be run: {getattr(error, 'strerror', None) or error}"
        with self._lock:
            self._child, unwanted = child, self._unwanted
        if unwanted:
            self.kill()
        status = _end_of(child.pid, self._timeout_s)
        if status is None:
            self.kill()
            _end_of(child.pid, inf)
            return f"{program} was killed: no end in {self._timeout_s:g} s"
        if status.si_code != os.CLD_EXITED:
            return f"{program} was ended by signal {status.si_status}"
        return f"{program} ended with code {status.si_status}" if status.si_status else ""


def _end_of(pid: int, most_s: float) -> os.waitid_result | None:
    """How it has ended, without taking its number from it; None: it has not. Blocks."""
    pause, waited_s = threading.Event(), 0.0
    while (status := os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is None and waited_s < most_s:
        pause.wait(LOOK_S)
        waited_s += LOOK_S
    return status


class Command:
    """One output."""

    hold_s: float | None = None
    readable = False

    def __init__(self, settings: CommandOutput) -> None:
        self._words = {True: settings.run_on, False: settings.run_off}
        self._timeout_s = parse_duration_s(settings.timeout)
        self._last: _Run | None = None
        self._counts = dict.fromkeys(("runs", "done", "failed"), 0)

    async def switch(self, on: bool, for_s: float, text: str = "") -> Switched:
        words = self._words[on]
        if self._last is not None:
            self._last.kill()
            if not await _in_time(self._last.ended, GRACE_S):
                return Switched(None, f"{words[0]} is not run: the command before can not be killed; its disk hangs?")
            self._last.bury()
        self._counts["runs"] += 1
        run = self._last = _Run(words, self._timeout_s)
        if await _in_time(run.ended, self._timeout_s + 2 * GRACE_S):
            why = run.ended.result()
        else:
            why = f"{words[0]} can not even be started: does its disk hang?"
        self._counts["failed" if why else "done"] += 1
        return Switched(None if why else on, why)

    async def read(self) -> Switched:
        return Switched(None, "a command can not be asked")

    def health(self) -> Mapping[str, Any]:
        return dict(self._counts)


async def _in_time(ended: asyncio.Future[str], most_s: float) -> bool:
    done, _ = await asyncio.wait({ended}, timeout=most_s)
    return bool(done)
