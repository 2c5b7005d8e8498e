"""What the models of instruments have in common: what they say, and what can be wrong with them. Pure.

A model is one wire with everything on it. It is asked with `hear`, or speaks by itself when `next_s` comes; either way
it gives back what it `Said`: bytes, when they have arrived, and which values of which points they carry. Whoever
carries the bytes tells the record, for only there is it known whether they arrived whole.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from edge.contract import Point

Source = Callable[[float], float]  # seconds since the world began -> what is there to measure; NaN: nothing is
SourceOf = Callable[[Point], Source]
Damage = Literal["flip", "drop"]

# The kinds of `device.*` troubles. Those with a chance are certain at a value of 0.
CHANCES = ("silence", "noise", "crc", "short", "twice")
AMOUNTS = ("late", "exception")  # seconds, Modbus exception code
MOST_LATE_S = 3600.0  # whoever asked has long given up


class Said(NamedTuple):
    """`data` has arrived whole `after_s` from now. `values`: (point, value) as the bytes carry them, in the point's
    unit; `clean`: whole and in time. `failed`: points that were asked for and may have been given nothing usable; one
    that stands in both may be read or not, both are right."""

    after_s: float
    data: bytes
    device: str
    values: Sequence[tuple[str, float]]
    failed: Sequence[str]
    clean: bool = True
    is_one: bool = True


class Model(Protocol):
    """The instruments on one wire. `devices`: their ids; `character_s`: the time of one byte on it, 0 over TCP."""

    @property
    def devices(self) -> tuple[str, ...]: ...
    @property
    def character_s(self) -> float: ...

    def hear(self, data: bytes, now_s: float) -> list[Said]:
        """The gateway begins to send `data` now."""

    def next_s(self, now_s: float) -> float:
        """When it next speaks by itself, not before `now_s`; inf: it only answers."""

    def say(self, now_s: float) -> list[Said]:
        """What it says by itself; to be called at `next_s`."""

    def damaged(self, data: bytes, how: Damage, chance: random.Random) -> bytes:
        """`data` after something on the wire has befallen it, such that its own check (or the UART) can tell; b"":
        it does not arrive."""

    def doubt(self, now_s: float) -> None:
        """The wire has lost or spoilt something: a question that follows may be meant to find out."""

    def set_faults(self, device: str, faults: Mapping[str, float]) -> None:
        """What ails a device from now on: kind -> value. Raises KeyError, ValueError."""


class Faults:
    """What ails one device, and whether it strikes."""

    def __init__(self) -> None:
        self._kinds: dict[str, float] = {}

    def set(self, faults: Mapping[str, float]) -> None:
        """Raises ValueError for a kind that is none, and for a value that it can not have."""
        for kind, value in faults.items():
            if kind not in CHANCES + AMOUNTS:
                raise ValueError(f"{kind} is no fault of a device: {', '.join(CHANCES + AMOUNTS)}")
            if kind == "exception" and not (1 <= value <= 255 and value == int(value)):
                raise ValueError(f"exception = {value:g} is no Modbus code: a whole number from 1 to 255")
            most, means = (MOST_LATE_S, "seconds") if kind == "late" else (1.0, "a chance")
            if kind != "exception" and not 0 <= value <= most:
                raise ValueError(f"{kind} = {value:g} is not {means}, from 0 to {most:g}")
        self._kinds = dict(faults)

    def strike(self, chance: random.Random) -> Mapping[str, float]:
        """Those that befall the next thing it says."""
        if not self._kinds:
            return self._kinds
        return {
            kind: value
            for kind, value in self._kinds.items()
            if kind in AMOUNTS or value == 0 or chance.random() < value
        }


def flipped(data: bytes, first: int, end: int, chance: random.Random) -> bytes:
    """One bit of the bytes from `first` to before `end` is the other."""
    place = chance.randrange(first, end)
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def dropped(data: bytes, first: int, end: int, chance: random.Random) -> bytes:
    """One of the bytes from `first` to before `end` is missing."""
    place = chance.randrange(first, end)
    return data[:place] + data[place + 1 :]
