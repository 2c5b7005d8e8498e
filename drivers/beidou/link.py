"""Packets as Beidou short messages: one `run` finds the terminal and serves it until it is gone.

The slot clock (`slots`), what was learnt of orders and refusals (`restraint`) and the card the province knows outlive a
`run`; what the terminal reports (`terminal`) does not. One request is on the way at a time, and before it is written
the slot is saved as used (`spec.memory`), so that no restart and no power cut lets a second one follow too early.
A feedback names no request: one that comes when none is on the way (late, doubled) is noted, and can only move the slot
back. Whatever happens is said through `state()`; nothing is settled here, only the province's receipt does that.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from drivers.beidou.detect import Found, find
from drivers.beidou.gnss import UNCERTAINTY_MS, TimeCheck
from drivers.beidou.judge import Verdict, judge
from drivers.beidou.line import Line, card_query, may_be_packet, message, subscriptions
from drivers.beidou.memory import LinkMemory
from drivers.beidou.points import code, told, value, words
from drivers.beidou.restraint import Restraint
from drivers.beidou.settings import BeidouLink
from drivers.beidou.slots import FEEDBACK_S, SlotClock
from drivers.beidou.terminal import Sight, Terminal
from drivers.beidou.wire import (
    UNKNOWN_BITS,
    Ack,
    Card,
    Dialect,
    Feedback,
    Message,
    Other,
    Outcome,
    Position,
    QueryStored,
    Report,
    UtcTime,
    build,
    mixed_bytes,
)
from edge.contract import LinkSpec, LinkState, Quality, Reading, Sent
from edge.errors import LinkLost, PortLost

TICK_S = 1.0  # while a request is on the way: what follows from its end waits no longer
LISTEN_S = 6.0  # how soon the passing of time shows in `state`: while it reports each 5 s, nothing else need wake us
SILENCE_S = 30.0  # it reports every 5 s: six missed ones are no noise
RDSS_SILENCE_S = 75.0  # GNSS sentences alone: the other half of the terminal has answered no card query in that time
STATUS_LATE_S = 12.0  # two missed reports: it was reset and has forgotten what it is to report
AGAIN_S = 10.0  # between repeated requests for reports, and card queries while there is no card
CARD_EVERY_S = 30.0  # no report tells of a card pulled out: the query is answered by the terminal itself
POLL_SILENCE_S = 900.0  # nothing came down for so long though packets went up: ask for stored ones (2.1)
IDLE_S = 10.0  # a slot free for so long is wanted by nobody
SENDS = frozenset({"TXA", "TCQ", "MSG", "TXSQ", ""})  # "": 4.0 does not name the command it refuses
POLLS = frozenset({"CXA", ""})
RADIATING = SENDS | POLLS | {"DWA", "DWSQ", "WAA", "WBA", "DSA"}
ONLY_GNSS = "only GNSS sentences are heard, the terminal answers no card query any more: switch it off and on"
COUNTS = ("sent", "unknown", "too_early", "refused", "unmatched", "received", "foreign", "polls")


class MessagesOverBeidou:
    """contract.Link over one terminal, and a PolledSensor of what it says of itself."""

    window = 1  # the card's own rule

    def __init__(self, spec: LinkSpec) -> None:
        assert spec.port is not None  # `Driver.link_port`: the site file is not taken without
        self._spec = spec
        self._port = spec.port
        self._settings: BeidouLink = spec.settings
        self._slots = SlotClock()
        self._restraint = Restraint()
        self._time = TimeCheck()
        self._counts: Counter[str] = Counter(dict.fromkeys((*COUNTS, "bytes_up", "bytes_down"), 0))
        self._receive: Callable[[bytes], None] = lambda _packet: None
        self._changed: Callable[[], None] = lambda: None
        self._line: Line | None = None
        self._terminal: Terminal | None = None
        self._answer: asyncio.Future[Feedback | None] | None = None  # of the one request on the way
        self._expected: frozenset[str] = frozenset()
        self._late = False  # the request before got no answer: it may still come, and look like the next one's
        self._polling: asyncio.Task[None] | None = None
        self._feedback: tuple[float, Outcome | None] | None = None  # the last; None: a message got no answer
        self._memory = LinkMemory(spec)
        self._runs = 0
        self._heard_down_s = 0.0
        self._sent_since = False  # packets went up since something came down
        self._subscribe_s = self._card_s = -inf  # not before this
        self._why = "not started"
        self._state = self._judge(-inf)

    # -- the link ------------------------------------------------------------------------------------------------

    def state(self) -> LinkState:
        """Up, down, and why; `ready_s` follows the card's slot."""
        return self._state

    async def run(self, receive: Callable[[bytes], None], changed: Callable[[], None]) -> None:
        """Finds the terminal and serves it. Ends only by LinkLost (or by being cancelled)."""
        self._receive, self._changed = receive, changed
        why = "stopped"
        try:
            why = await self._run()
        except PortLost as lost:
            why = str(lost)
        except asyncio.CancelledError:
            self._changed = lambda: None  # ended in order: nobody is to be told that it is lost
            raise
        finally:
            self._close(why)
        raise LinkLost(self._spec.id, why)

    async def send(self, packet: bytes) -> Sent:
        """Hands one packet to the terminal and waits for its feedback. Never raises."""
        now_s = asyncio.get_running_loop().time()
        self._refresh(now_s)
        terminal, state = self._terminal, self._state
        if terminal is None or state.up is False or now_s < state.ready_s or len(packet) > state.mtu_bytes:
            return Sent.NOT_SENT
        plain = self._settings.encoding == "code"
        data = message(terminal.dialect, self._settings.province, packet, terminal.address or 0, plain)
        sent = await self._request(data, SENDS, len(packet))
        if sent is not Sent.NOT_SENT:
            self._counts["bytes_up"] += len(packet)
            self._sent_since = True
        return sent

    async def read(self, points: Sequence[str]) -> list[Reading]:
        """The link's own points, as the terminal told them last; without a value where it did not lately."""
        now_s = asyncio.get_running_loop().time()
        return [self._reading(point, self._spec.points[point].read, now_s) for point in points]

    def health(self) -> Mapping[str, Any]:
        """For `fengsui links`: what the terminal is and says, and counters since the start."""
        now_s = asyncio.get_running_loop().time()
        last = self._feedback
        return {
            **told(self._terminal, self._slots.period_s),
            "baud": None if self._line is None else self._line.baud,
            "next_slot_s": round(max(self._ready_s() - now_s, 0.0), 1),
            "last_feedback": last and {"what": words(last[1]), "age_s": round(now_s - last[0], 1)},
            "noise_bytes": 0 if self._line is None else self._line.noise_bytes,
            "unsaved": self._memory.failed,
            **self._counts,
        }

    # -- one run -------------------------------------------------------------------------------------------------

    async def _run(self) -> str:
        """Returns why it ended."""
        await self._memory.recall()
        self._runs += 1
        found = await find(self._port, self._spec.open_port, self._memory.known, self._runs % 2 == 1, self._look)
        if isinstance(found, str):
            return found
        return await self._serve(found)

    async def _serve(self, found: Found) -> str:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._line = found.line
        self._terminal = Terminal(found.dialect, self._settings.limit_bits, now_s, self._memory.size)
        self._memory.known = (found.line.baud, found.dialect)
        self._heard_down_s, self._subscribe_s = now_s, -inf
        for report in found.heard:
            self._take(report, now_s)
        self._card_s = now_s + (AGAIN_S if self._terminal.address is None else CARD_EVERY_S)
        await found.line.say(*subscriptions(found.dialect, self._terminal.address or 0))
        rdss_s = loop.time()
        while True:
            self._refresh(loop.time())
            reports = await found.line.hear(self._patience_s(loop.time()))
            now_s = loop.time()
            for report in reports:
                self._take(report, now_s)
                rdss_s = rdss_s if isinstance(report, Position | UtcTime | Other | Ack) else now_s
            if now_s - self._terminal.heard_s > SILENCE_S:
                return f"the terminal has said nothing for {SILENCE_S:.0f} s: is it powered, is its cable in?"
            if now_s - rdss_s > RDSS_SILENCE_S:
                return ONLY_GNSS
            await self._chores(found.line, self._terminal, now_s)

    def _patience_s(self, now_s: float) -> float:
        """How long to listen before time is looked at again."""
        if self._answer is not None:
            return TICK_S
        due_s = [at_s - now_s for at_s in (self._card_s, self._restraint.not_before_s) if at_s > now_s]
        return min([LISTEN_S, *due_s])

    async def _chores(self, line: Line, terminal: Terminal, now_s: float) -> None:
        """What is due: reports to ask for again, the card, a poll, a save. Nothing while a request is on the way."""
        if self._answer is not None:
            return
        late = now_s - terminal.status_s > STATUS_LATE_S
        if late and now_s >= self._subscribe_s:
            self._subscribe_s = now_s + AGAIN_S
            await line.say(*subscriptions(terminal.dialect, terminal.address or 0), card_query(terminal.dialect))
        if now_s >= self._card_s:
            self._card_s = now_s + (AGAIN_S if terminal.address is None else CARD_EVERY_S)
            await line.say(card_query(terminal.dialect))
        await self._memory.keep(self._slots, now_s)
        if self._may_poll(terminal, now_s):
            self._polling = asyncio.get_running_loop().create_task(self._poll(), name=f"poll {self._spec.id}")
            await asyncio.sleep(0)  # it takes the slot now, not after the next thing heard

    def _close(self, why: str) -> None:
        if self._line is not None:
            self._line.close()
        self._line = self._terminal = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)
        self._why = why
        self._refresh(asyncio.get_running_loop().time())

    def _look(self, why: str) -> None:
        self._why = why
        self._refresh(asyncio.get_running_loop().time())

    # -- what the terminal says ----------------------------------------------------------------------------------

    def _take(self, report: Report, now_s: float) -> None:
        assert self._terminal is not None
        self._terminal.hear(report, now_s)
        if isinstance(report, Card) and report.dialect is self._terminal.dialect:
            self._take_card(report, now_s)
        elif isinstance(report, Feedback):
            self._take_feedback(report, now_s)
        elif isinstance(report, Message):
            self._take_message(report, now_s)
        elif isinstance(report, UtcTime):
            self._take_time(report.utc_ms, now_s)
        elif isinstance(report, Position) and report.utc_ms is not None:
            self._take_time(report.utc_ms if report.valid else None, now_s)

    def _take_card(self, card: Card, now_s: float) -> None:
        if card.address is None:
            self._card_s = min(self._card_s, now_s + AGAIN_S)
            return
        memory = self._memory
        is_new = card.address != memory.card
        if is_new:
            self._slots.other_card()
            self._restraint = Restraint()  # an order against another card, or its refusals, say nothing of this one
        self._slots.card_period(card.period_s)
        if not is_new:
            return
        if memory.adopt(card.address, now_s):
            self._slots.restored(memory.next_s, now_s)
        else:
            self._slots.unknown(now_s)
        if self._terminal is not None:
            self._terminal.size = memory.size

    def _take_feedback(self, feedback: Feedback, now_s: float) -> None:
        if feedback.outcome is Outcome.RELEASED:
            self._restraint.released()
            return
        if self._answer is not None and not self._answer.done() and feedback.command in self._expected:
            self._answer.set_result(feedback)
            return
        if feedback.command in RADIATING:
            self._counts["unmatched"] += 1
            self._late = False
            self._slots.noted(now_s, sent=feedback.outcome is Outcome.SENT, wait_s=feedback.wait_s)

    def _take_message(self, report: Message, now_s: float) -> None:
        """One of our packets goes to the relay, which knows a forged or a repeated one; all else is only counted."""
        self._heard_down_s, self._sent_since = now_s, False
        if not may_be_packet(report):
            self._counts["foreign"] += 1
            return
        self._counts["received"] += 1
        self._counts["bytes_down"] += len(report.content)
        if report.sender == self._settings.province:
            # The province has found this card: as far as can be told here, where nothing is authenticated.
            self._memory.home = self._memory.card or self._memory.home
        self._receive(report.content)

    def _take_time(self, utc_ms: int | None, now_s: float) -> None:
        if self._time.tells(utc_ms, now_s, self._spec.utc_ms()) and utc_ms is not None:
            self._spec.learn_time(utc_ms, UNCERTAINTY_MS, f"GNSS of link {self._spec.id}")

    # -- requests ------------------------------------------------------------------------------------------------

    async def _request(self, data: bytes, expected: frozenset[str], packet_bytes: int = 0) -> Sent:
        """Writes what radiates, waits for the feedback, and draws the consequences. One at a time. `packet_bytes`: of
        a message's packet; 0 for a poll."""
        line, loop = self._line, asyncio.get_running_loop()
        if line is None or self._answer is not None:
            return Sent.NOT_SENT
        answer = self._answer = loop.create_future()
        self._expected = frozenset()  # nothing is an answer before the question is out
        feedback: Feedback | None = None
        try:
            await self._memory.before_request(self._slots)
            if self._line is not line or loop.time() < self._slots.next_s:
                return Sent.NOT_SENT  # gone, or a feedback has moved the slot, while the disk was busy
            self._expected = expected
            self._slots.asked(loop.time())
            self._refresh(loop.time())
            try:
                await line.write(data)
                async with asyncio.timeout(FEEDBACK_S):
                    feedback = await answer
            except (TimeoutError, PortLost):
                pass  # what was written may be out: the slot counts as used
        finally:
            self._answer = None
        sent = self._heed(feedback, packet_bytes, loop.time())
        self._refresh(loop.time())
        return sent

    def _heed(self, feedback: Feedback | None, packet_bytes: int, now_s: float) -> Sent:
        """What a feedback (None: none came) means for the slot, for the next attempt and for the packet."""
        outcome = None if feedback is None else feedback.outcome
        self._feedback = (now_s, outcome)
        if feedback is None or outcome is None:
            self._counts["unknown"] += 1
            self._restraint.unanswered()
            self._late = True
            return Sent.UNKNOWN
        late, self._late = self._late, False
        terminal, size = self._terminal, self._memory.size
        if outcome is Outcome.REFUSED and terminal is not None and terminal.sight(now_s) is Sight.WEAK:
            outcome = Outcome.NO_SIGNAL  # 2.1 has no word for it
        self._restraint.heard(outcome, now_s)
        if outcome is Outcome.SENT:
            self._counts["sent"] += 1
            size.sent(packet_bytes, now_s)
            self._slots.sent(now_s, feedback.wait_s)
            return Sent.SENT
        if late:  # whose refusal is this? The slot counts as used
            self._counts["unknown"] += 1
            return Sent.UNKNOWN
        if outcome is Outcome.TOO_EARLY:
            self._counts["too_early"] += 1
            self._slots.too_early(now_s, feedback.wait_s)
            return Sent.NOT_SENT
        self._counts["refused"] += 1
        self._slots.refused()
        if outcome is Outcome.REFUSED and packet_bytes and size.refused(packet_bytes, now_s):
            self._restraint.resized()
        elif outcome is Outcome.NO_CARD and terminal is not None:
            terminal.card_gone(now_s)
            self._card_s = now_s
        return Sent.NOT_SENT

    def _may_poll(self, terminal: Terminal, now_s: float) -> bool:
        """Whether to ask for stored messages: the dialect has it, all is silent, and nobody wants the slot."""
        return (
            terminal.dialect is Dialect.TEXT21
            and self._sent_since
            and now_s - self._heard_down_s > POLL_SILENCE_S
            and now_s - self._ready_s() > IDLE_S
            and self._state.up is not False
        )

    async def _poll(self) -> None:
        self._heard_down_s = asyncio.get_running_loop().time()  # the next not before as long again
        self._counts["polls"] += 1
        await self._request(build(QueryStored()), POLLS)

    # -- what is said --------------------------------------------------------------------------------------------

    def _ready_s(self) -> float:
        return max(self._slots.next_s, self._restraint.not_before_s)

    def _judge(self, now_s: float) -> LinkState:
        terminal, line = self._terminal, self._line
        if terminal is None or line is None:
            mtu_bytes = mixed_bytes(self._memory.size.within(self._settings.limit_bits or UNKNOWN_BITS))
            verdict = Verdict(False, self._why)
        else:
            mtu_bytes = terminal.mtu_bytes
            doubts = "; ".join(filter(None, (self._slots.trouble, terminal.trouble)))
            province, home = self._settings.province, self._memory.home
            verdict = judge(terminal, line.baud, self._restraint, province, home, doubts, now_s)
        ready_s = max(self._ready_s(), 0.0)
        return LinkState(verdict.up, verdict.why, mtu_bytes, self._slots.period_s, ready_s, verdict.trouble)

    def _refresh(self, now_s: float) -> None:
        self._memory.size.passes(now_s)
        state = self._judge(now_s)
        if state != self._state:
            self._state = state
            self._changed()

    def _reading(self, point: str, read: str, now_s: float) -> Reading:
        number: float | None = None
        if self._terminal is not None:
            if read == "wait":
                number = max(self._ready_s() - now_s, 0.0)
            elif read == "feedback":
                number = None if self._feedback is None else code(self._feedback[1])
            else:
                number = value(read, self._terminal, now_s)
        return Reading(point, number, Quality.NO_ANSWER if number is None else Quality.GOOD)
