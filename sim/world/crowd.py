"""Plays of many seeds, as many at a time as there are cores, each lane a process of its own.

    for seed, played in plays(work, seeds):   # in the seeds' order; a `Lost` where there is no answer

A play whose process dies (no memory, a crash below Python) is lost and no other with it: the lane is replaced. Lanes
end with the process that made them, however that ends.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
PR_SET_PDEATHSIG = 1  # prctl(2): the signal this process gets when its parent dies
ENDING_S = 5.0  # for a lane to leave its folder in order


@dataclass(frozen=True, slots=True)
class Lost:
    """A play that gave no answer. `why`: a sentence."""

    why: str


class _Lane(Generic[T]):
    """One process, which plays one seed after the other."""

    def __init__(self, work: Callable[[int], T]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, far = context.Pipe()
        self.process = context.Process(target=_serve, args=(far, work, os.getpid()), daemon=True)
        self.process.start()
        far.close()
        self.seed = 0

    def begin(self, seed: int) -> None:
        self.seed = seed
        self.pipe.send(seed)

    def answer(self) -> T | Lost:
        try:
            found: T = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(ENDING_S)
            return Lost(_ended(self.process.exitcode))
        return found

    def end(self) -> None:
        self.process.terminate()
        self.process.join(ENDING_S)
        self.pipe.close()


def plays(work: Callable[[int], T], seeds: Sequence[int]) -> Iterator[tuple[int, T | Lost]]:
    """`work(seed)` of each seed. `work` and what it gives can be pickled."""
    waiting, done = deque(seeds), dict[int, Any]()
    busy: dict[Connection[Any, Any], _Lane[T]] = {}
    idle = [_Lane(work) for _ in range(min(len(seeds), os.cpu_count() or 1))]
    try:
        for seed in seeds:
            while seed not in done:
                while idle and waiting:
                    lane = idle.pop()
                    lane.begin(waiting.popleft())
                    busy[lane.pipe] = lane
                for pipe in wait(list(busy)):
                    lane = busy.pop(cast("Connection[Any, Any]", pipe))
                    answer = done[lane.seed] = lane.answer()
                    if isinstance(answer, Lost):
                        lane.end()
                        lane = _Lane(work)
                    idle.append(lane)
            yield seed, done.pop(seed)
    finally:
        for lane in [*idle, *busy.values()]:
            lane.end()


def _serve(pipe: Connection[Any, Any], work: Callable[[int], Any], parent: int) -> None:
    """What a lane does. Ctrl-C is for the process that made it, which then ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    while os.getppid() == parent:
        try:
            seed = pipe.recv()
        except EOFError:
            return
        pipe.send(work(seed))


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"the process that played it was killed: {signal.Signals(-code).name} (is there memory enough?)"
    return f"the process that played it ended with exit code {code}; what it said stands above"
