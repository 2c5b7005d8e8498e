"""A file on a card that can lose its power: what is surely there, what was written since, what a cut may leave of that.

A cut leaves any subset of what is not synced, each write whole or only some of its sectors; writes that survive keep
their order, as a card writes what is newest of a sector. What a program that kept its word about syncs must survive
(facts, storage 1.2; tests/powercut/disk.py has the same by enumeration). Knows no real file but by a descriptor.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from random import Random

SECTOR_BYTES = 512
UNSYNCED_MOST = 20_000  # writes; beyond it the older half is written back, as a kernel does by itself
NONE_SURVIVES, ALL_SURVIVE, HEAD_SURVIVES = 0.2, 0.35, 0.6  # chances, summed up, of what a cut leaves; else any subset
TORN = 0.25  # chance that a write which survives is torn

Write = tuple[int, bytes | None]
"""(offset, data), or (size, None) for a truncate."""


class File:
    """One that SQLite has written. `unsynced`: oldest first."""

    def __init__(self, handle: int, image: bytearray, size: int) -> None:
        self.handle = handle  # our own, so that no other file gets its inode
        self.image = image
        self.size = size
        self.unsynced: list[Write] = []
        self.users = 0
        self.strayed = False  # a sync failed: the image is not what the system sees

    @property
    def is_plain(self) -> bool:
        """Whether the real file says all there is to say."""
        return not self.unsynced and not self.strayed

    def note(self, offset: int, data: bytes | None) -> None:
        if len(self.unsynced) >= UNSYNCED_MOST:
            older = self.unsynced[: UNSYNCED_MOST // 2]
            del self.unsynced[: UNSYNCED_MOST // 2]
            _apply(self.image, older)
        self.unsynced.append((offset, data))
        self.size = offset if data is None else max(self.size, offset + len(data))

    def sync(self) -> None:
        _apply(self.image, self.unsynced)
        self.unsynced.clear()

    def overwrite(self, offset: int, data: bytes) -> None:
        """What is on the card is not what was written there."""
        _apply(self.image, [(offset, data)])

    def stray(self, random: Random) -> int:
        """What is not synced gets to the card or not, and no later sync brings it: at a cut, or when a sync failed.
        Returns how many writes were torn."""
        survive, torn = _survivors(self.unsynced, random)
        _apply(self.image, survive)
        self.unsynced.clear()
        self.strayed = True
        return torn


def load(path: bytes) -> File:
    """A file that has been nobody's so far: all of it is on the card."""
    handle = os.open(path, os.O_RDONLY)
    size = os.fstat(handle).st_size
    return File(handle, bytearray(os.pread(handle, size, 0)), size)


def _apply(image: bytearray, writes: Iterable[Write]) -> None:
    for offset, data in writes:
        if offset > len(image):
            image.extend(bytes(offset - len(image)))
        if data is None:
            del image[offset:]
        else:
            image[offset : offset + len(data)] = data


def _survivors(writes: list[Write], random: Random) -> tuple[list[Write], int]:
    """What a cut leaves of writes, in their order (a card writes what is newest of a sector), and how many it tore."""
    draw = random.random()
    if not writes or draw < NONE_SURVIVES:
        return [], 0
    if draw < ALL_SURVIVE:
        return writes, 0
    if draw < HEAD_SURVIVES:
        head = writes[: random.randint(1, len(writes))]
        return head[:-1] + _torn(*head[-1], random), int(head[-1][1] is not None)
    chance = random.random()
    left: list[Write] = []
    torn = 0
    for offset, data in writes:
        if random.random() >= chance:
            continue
        if data is not None and random.random() < TORN:
            left += _torn(offset, data, random)
            torn += 1
        else:
            left.append((offset, data))
    return left, torn


def _torn(offset: int, data: bytes | None, random: Random) -> list[Write]:
    """Some of the sectors that a write touches."""
    if data is None:
        return [(offset, data)] if random.random() < 0.5 else []
    borders = [offset, *range(offset // SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES, offset + len(data), SECTOR_BYTES)]
    pieces = zip(borders, [*borders[1:], offset + len(data)], strict=True)
    return [(low, data[low - offset : high - offset]) for low, high in pieces if random.random() < 0.5]
