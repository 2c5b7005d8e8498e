"""A link's own ladder: `Link.run` until it is lost, then a pause of 1 to 8 s with jitter, so that one that is back is
used within 10 s. Losses and returns are said once. May not send: what is sent is the relay's (edge/relay.py).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from edge.errors import LinkLost
from edge.slotways import SlotWay
from edge.ways import Shared, Way

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 8.0  # with jitter below the 10 s within which a link that is back must be used
STEADY_S = 60.0  # a link that held so long begins its ladder anew; one that flaps does not


class Ladder:
    """Those of all links of a site."""

    def __init__(
        self,
        seed: str,
        shared: Shared,
        receive: Callable[[bytes], None],
        say: Callable[[str, str], None],
        troubled: Callable[[str, str], None],
        wake: Callable[[], None],
    ) -> None:
        """`troubled`: a link says what a person must see to ("": no more). `wake`: a link is up, or no more."""
        self._random = random.Random(seed)
        self._shared = shared
        self._receive = receive
        self._say = say
        self._troubled = troubled
        self._wake = wake

    async def climb(self, way: Way) -> None:
        """Keeps a link up, and takes it up again whenever it is lost. Runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                await way.link.run(self._receive, lambda: self.changed(way))
                why = "it ended"
            except LinkLost as lost:
                why = lost.why
            if loop.time() - began_s > STEADY_S:
                way.losses = 0
            if way.up is not False:
                self._say(f"link {way.id}", f"is not usable: {why}")
            way.up = False
            pause_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(way.losses, 10))
            way.losses += 1
            await asyncio.sleep(pause_s * self._random.uniform(0.5, 1.0))

    def changed(self, way: Way) -> None:
        """A link says that its state is another."""
        state = way.link.state()
        if state.trouble != way.trouble and (state.trouble or state.up):
            way.trouble = state.trouble
            self._say(f"link {way.id}", state.trouble or "the trouble is over")
            self._troubled(way.id, state.trouble)
        if state.up is False and way.up:
            way.up = False
            if not way.tried:
                self._say(f"link {way.id}", f"is not usable: {state.why}")
        elif state.up is None and way.up is not True:
            way.up = way.tried = True  # only an attempt can show whether what stopped it is over: no news yet
        elif state.up and (way.tried or way.up is not True):
            self._say(f"link {way.id}", "is up" if way.up is None else "is back")
            if not any(other.up for other in self._shared.ways.values() if other.slots <= way.slots):
                self._shared.transit.all_backlog()
            way.came_up()
            for other in self._shared.ways.values():
                if isinstance(other, SlotWay) and not way.slots:
                    other.wide_is_back()
        self._wake()
