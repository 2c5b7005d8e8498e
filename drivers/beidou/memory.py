"""What outlives a link's process: the slot of the card, the card the province knows, how the terminal was found.

One record, saved before each request, and when its feedback or anything else has changed something in it. One save at a
time: a request waits for the one that is under way, since a slot that is not on the disk is one that a power cut
forgets. A disk that does not take it holds up no request (`contract.Memory.save` gives up by itself). What failed is
tried again soon: a bad disk takes some writes and others not, and the slot that counts is that of the last request. A
start that finds an older one believes it and may ask too early. The terminal then refuses and names the wait, which
costs an alarm less than to keep a whole reserve at each start.
"""

from __future__ import annotations

import asyncio
from math import inf

from drivers.beidou.size import SizeLimit
from drivers.beidou.slots import Saved, SlotClock, dump, load, remaining_s
from drivers.beidou.wire import Dialect
from edge.contract import LinkSpec

SAME_S = 1.0  # a slot that has moved by less is not worth a write
SAVE_AGAIN_S = 5.0  # after a save that failed: a kill in between finds the slot of the request before


class LinkMemory:
    """`card`: whose slot the clock shows; `home`: the card the province knows, as far as we do; `known`: rate and
    dialect that worked last; `next_s`: the saved slot on this process's clock; `size`: what was learnt of `card`."""

    def __init__(self, spec: LinkSpec) -> None:
        self.card: int | None = None
        self.home: int | None = None
        self.known: tuple[int, Dialect] | None = None
        self.next_s = -inf
        self.size = SizeLimit()
        self.failed = 0
        self._spec = spec
        self._saved: Saved | None = None
        self._recalled = False
        self._again_s = -inf
        self._saving = asyncio.Lock()

    async def recall(self) -> None:
        """What an earlier process knew; once."""
        if self._recalled:
            return
        data = await self._spec.memory.load()
        self._recalled = True
        saved = self._saved = load(data)
        if saved is None:
            return
        now_s = asyncio.get_running_loop().time()
        self.next_s = now_s + remaining_s(saved, self._spec.boot, now_s, self._spec.utc_ms())
        self.home = saved.home
        if saved.baud is not None and saved.dialect in [dialect.value for dialect in Dialect]:
            self.known = (saved.baud, Dialect(saved.dialect))

    def adopt(self, card: int, now_s: float) -> bool:
        """Another card is in the terminal, or the first since the start. Whether its slot (`next_s`) is known."""
        saved = self._saved if self.card is None and self._saved is not None and self._saved.card == card else None
        self.size = SizeLimit(None if saved is None else saved.bits, now_s)
        self.card, self.home = card, self.home or card
        return saved is not None

    async def keep(self, slots: SlotClock, now_s: float) -> None:
        """Saves if something has changed that must not be forgotten."""
        saved = self._saved
        if saved is not None and (saved.card, saved.home, saved.bits) == (self.card, self.home, self.size.known):
            moved_s = max(slots.next_s, now_s) - max(self.next_s, now_s)
            if self._place() == (saved.baud, saved.dialect) and abs(moved_s) < SAME_S:
                return
        if now_s >= self._again_s:
            await self._save(slots, asking=False)

    async def before_request(self, slots: SlotClock) -> None:
        """Saves the slot as used by a request that is about to be written."""
        await self._save(slots, asking=True)

    async def _save(self, slots: SlotClock, *, asking: bool) -> None:
        if self.card is None:
            return  # the slot of a card that was not seen yet is the one saved before
        async with self._saving:
            now_s = asyncio.get_running_loop().time()
            next_s, utc_ms, reserve_s = slots.to_save(now_s, self._spec.utc_ms(), asking=asking)
            baud, dialect = self._place()
            saved = Saved(
                boot=self._spec.boot,
                next_s=next_s,
                utc_ms=utc_ms,
                reserve_s=reserve_s,
                card=self.card,
                home=self.home,
                baud=baud,
                dialect=dialect,
                bits=self.size.known,
            )
            if await self._spec.memory.save(dump(saved)):
                self._saved, self.next_s = saved, next_s
            else:
                self.failed += 1
                self._again_s = now_s + SAVE_AGAIN_S

    def _place(self) -> tuple[int | None, str]:
        return (None, "") if self.known is None else (self.known[0], self.known[1].value)
