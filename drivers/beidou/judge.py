"""Whether the link can be used, in words for the person at the box. Pure: what is known goes in, a verdict comes out.

`up` None: it cannot be known but by an attempt (an order of silence may be over, a weak beam may do). Words hold no
figure that changes by the second: each new sentence wakes the relay and may be logged.
"""

from __future__ import annotations

from typing import NamedTuple

from drivers.beidou.restraint import Restraint
from drivers.beidou.terminal import LEAST_PACKET_BYTES, Sight, Terminal
from drivers.beidou.wire import Dialect

LARGEST_NUMBER = {  # of a card that a message can be addressed to
    Dialect.BDS3: 99_999_999,  # eight digits
    Dialect.TEXT21: 9_999_999,  # seven
    Dialect.BINARY40: 2_097_150,  # 21 bits; all ones are no card
}


class Verdict(NamedTuple):
    """As in `contract.LinkState`."""

    up: bool | None
    why: str
    trouble: str = ""


def judge(
    terminal: Terminal, baud: int, restraint: Restraint, province: int, home: int | None, doubts: str, now_s: float
) -> Verdict:
    """The verdict on a terminal that was found. `province`: the card written to; `home`: the one of ours it knows;
    `doubts`: what else a person must know, "" for nothing."""
    name = f"terminal ({terminal.dialect.value}, {baud} baud)"
    card = terminal.card
    if card is None:
        why = f"the {name} does not say which card it has: switch it off and on"
        return Verdict(False, why, why)
    if card.address is None:
        why = f"no card in the {name}: switch it off, put the card in, switch it on"
        return Verdict(False, why, why)
    if terminal.mtu_bytes < LEAST_PACKET_BYTES:
        why = _too_small(terminal)
        return Verdict(False, why, why)
    most = LARGEST_NUMBER[terminal.dialect]
    if province > most:
        why = f"the {name} can address cards up to {most} only: province = {province} cannot be reached through it"
        return Verdict(False, why, why)
    stranger = _stranger(card.address, home)
    trouble = "; ".join(words for words in (restraint.trouble, stranger, doubts) if words)
    if restraint.holds(now_s):
        return Verdict(False, restraint.trouble, trouble)
    sight = terminal.sight(now_s)
    if sight is Sight.NONE:
        return Verdict(False, "no beam is heard: has the antenna a free sky to the south?", trouble)
    if restraint.probing:
        return Verdict(None, f"{restraint.trouble}; one attempt shows whether that is over", trouble)
    if sight is Sight.WEAK:
        return Verdict(
            None, "all beams are weak: an attempt decides. Has the antenna a free sky to the south?", trouble
        )
    return Verdict(True, stranger or f"{name}, card {card.address}, level {card.level}", trouble)


def _too_small(terminal: Terminal) -> str:
    """For a card of level 1: 110 bits are 12 bytes, exactly the seal of an empty packet."""
    assert terminal.card is not None
    return (
        f"card {terminal.card.address} (level {terminal.card.level}) takes messages of {terminal.bits} bit, "
        f"{terminal.mtu_bytes} bytes: not one alarm fits, so nothing is sent here. Get a card of level 3 (628 bit)"
    )


def _stranger(address: int, home: int | None) -> str:
    if home is None or address == home:
        return ""
    return f"card {address} is in the terminal, not {home} as before: tell the province its number"
