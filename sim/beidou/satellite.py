"""The satellite and the centre behind it. Each message has a chance to be lost, late, doubled or overtaken.

Pure: all chance from one seed, every instant from the caller. The centre keeps the newest messages of every card, so
that a 2.1 terminal can poll them (CXA), and when a message was sent and received (HZR). A message is lost on its way up
(the centre never had it) or down (it is stored there), each half of the time.
Figures: 95.5 % of single packets arrived, after 3.8 s on average, in a published test of civil cards (2015).
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count

from drivers.beidou.wire import Form
from sim.beidou.terminal import Terminal
from sim.beidou.traffic import Burst, Message, Poll, Receipt

STORED_MESSAGES = 10  # of each card; the real number is not public
RECEIPTS = 5  # of one sender and receiver: what one HZR holds
HELD_UP_S = (30.0, 150.0)  # of a message that others overtake: one or two slots of a civil card


class Satellite:
    """`loss`, `duplicate`, `reorder` are chances of each message; `delay_s` from and to, evenly. May be set any time.

    `counts`: carried, lost_up, lost_down, duplicated, held_up, polled.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        loss: float = 0.05,
        delay_s: tuple[float, float] = (2.0, 8.0),
        duplicate: float = 0.01,
        reorder: float = 0.005,
    ) -> None:
        self.loss = loss
        self.delay_s = delay_s
        self.duplicate = duplicate
        self.reorder = reorder
        self.counts: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._order = count()  # of messages that are due at one instant
        self._on_the_way: list[tuple[float, int, Message]] = []
        self._stored: defaultdict[int, deque[Message]] = defaultdict(lambda: deque(maxlen=STORED_MESSAGES))
        self._receipts: defaultdict[tuple[int, int], deque[Receipt]] = defaultdict(lambda: deque(maxlen=RECEIPTS))

    def carry(self, burst: Burst, now_s: float) -> None:
        """Takes what a terminal radiated."""
        if isinstance(burst, Poll):
            self._answer(burst, now_s)
            return
        self.counts["carried"] += 1
        if self._lost("lost_up", self.loss / 2):
            return
        self._stored[burst.to].append(burst)
        if self._lost("lost_down", self.loss / 2 / (1 - self.loss / 2)):
            return
        self._schedule(burst, now_s)
        if self._random.random() < self.duplicate:
            self.counts["duplicated"] += 1
            self._schedule(burst, now_s)

    def due(self, now_s: float) -> list[Message]:
        """What comes down until now, in that order."""
        down = []
        while self._on_the_way and self._on_the_way[0][0] <= now_s:
            down.append(heapq.heappop(self._on_the_way)[2])
        return down

    def wake_s(self) -> float:
        """When the next message comes down; inf for none."""
        return self._on_the_way[0][0] if self._on_the_way else math.inf

    def received(self, message: Message, now_s: float) -> None:
        """A terminal has taken the message: the centre notes it for its sender."""
        if message.stored is None:
            self._receipts[message.sender, message.to].append(Receipt(message.radiated_s, now_s))

    def _answer(self, poll: Poll, now_s: float) -> None:
        """To a poll, when neither it nor the answer is lost: the newest message stored, or the receipts."""
        self.counts["polled"] += 1
        if self._lost("lost_up", self.loss / 2):
            return
        if poll.what == "receipts":
            notes = tuple(self._receipts.get((poll.sender, poll.address or 0), ()))
            answer = Message(poll.address or 0, poll.sender, b"", Form.MIXED, now_s, receipts=notes)
        else:
            newest = [m for m in self._stored[poll.sender] if poll.what == "newest" or m.sender == poll.address]
            if not newest:
                return
            answer = replace(newest[-1], stored=poll.what)
        if not self._lost("lost_down", self.loss / 2):
            self._schedule(answer, now_s)

    def _lost(self, where: str, chance: float) -> bool:
        lost = self._random.random() < chance
        self.counts[where] += lost
        return lost

    def _schedule(self, message: Message, now_s: float) -> None:
        due_s = now_s + self._random.uniform(*self.delay_s)
        if self._random.random() < self.reorder:
            self.counts["held_up"] += 1
            due_s += self._random.uniform(*HELD_UP_S)
        heapq.heappush(self._on_the_way, (due_s, next(self._order), message))


@dataclass
class Air:
    """Terminals by name, and the satellite between them. What moves it is `advance`, at `wake_s` at the latest."""

    satellite: Satellite
    terminals: Mapping[str, Terminal]

    def advance(self, now_s: float) -> None:
        """Everything that happens until now."""
        for terminal in self.terminals.values():
            terminal.advance(now_s)
            for burst in terminal.take_bursts():
                self.satellite.carry(burst, now_s)
        for message in self.satellite.due(now_s):
            taken = [terminal.hear(message, now_s) for terminal in self.terminals.values()]
            if any(taken):
                self.satellite.received(message, now_s)

    def wake_s(self) -> float:
        """The next instant at which something happens by itself; inf for never."""
        return min([self.satellite.wake_s(), *(terminal.wake_s() for terminal in self.terminals.values())])
