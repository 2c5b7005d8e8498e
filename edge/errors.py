"""The families of failure: who raises, who catches, what follows.

    SiteFileError   config           -> cli: prints every problem, exit 3
    PortLost        drivers/port     -> intake's ladder: close, wait, open again; every point of the port has no value
    DeviceSilent    drivers/*/sensor -> intake's ladder: quarantine with growing pauses; no value
    LinkLost        drivers/*/link   -> relay's ladder: wait with jitter, connect again; nothing is settled
    Unpackable      edge/packing     -> relay: the entry is dropped and counted
    DoesNotFit      edge/packing     -> relay: the entry waits for another link
    StoreBroken     edge/outbox      -> daemon: keep judging and alarming from memory, say so

What a device *answers*, be it a refusal, is a value (`contract.Reading` with a quality), never an exception.
An exception carries its evidence: the port, the device, the raw bytes. Imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Sequence


class FengsuiError(Exception):
    """Base of all; `str(error)` is a sentence for the person at the box."""


class SiteFileError(FengsuiError):
    """The site file is wrong. `problems` holds one sentence for each mistake, all of them."""

    def __init__(self, file: str, problems: Sequence[str]) -> None:
        self.file = file
        self.problems = tuple(problems)
        super().__init__(f"{file}: {len(self.problems)} problem(s)\n" + "\n".join(f"  {p}" for p in self.problems))


class PortLost(FengsuiError):
    """A port could not be opened, or vanished while open (USB pulled, TCP reset)."""

    def __init__(self, port: str, why: str) -> None:
        self.port = port
        self.why = why
        super().__init__(f"port {port}: {why}")


class DeviceSilent(FengsuiError):
    """A device gave no usable answer in its timeout. `raw` is whatever did arrive instead."""

    def __init__(self, device: str, why: str, raw: bytes = b"") -> None:
        self.device = device
        self.why = why
        self.raw = raw
        heard = f"; heard {raw[:32].hex(' ')}" if raw else ""
        super().__init__(f"device {device}: {why}{heard}")


class LinkLost(FengsuiError):
    """A link is not usable now: refused, unreachable, dropped. `why` says what to try where that is known."""

    def __init__(self, link: str, why: str) -> None:
        self.link = link
        self.why = why
        super().__init__(f"link {link}: {why}")


class Unpackable(FengsuiError):
    """A held entry makes no sense any more (damage that the disk did not notice). Raised and caught in the relay's own
    parts: the entry is dropped and counted, so that it cannot stand in the way of all others."""

    def __init__(self, seq: int, why: str) -> None:
        self.seq = seq
        self.why = why
        super().__init__(f"entry {seq} cannot be read: {why}")


class DoesNotFit(FengsuiError):
    """An entry is larger than a packet of this link. Raised and caught in the relay's own parts: it waits."""

    def __init__(self, seq: int, what: str) -> None:
        self.seq = seq
        self.what = what
        super().__init__(f"entry {seq} ({what}) does not fit into one of its packets")


class StoreBroken(FengsuiError):
    """The store can not be written: disk full, read-only, an fsync that failed. Never retried on the same handle.

    `damaged`: the file's content is to blame, not the disk under it: it is to be put aside.
    """

    def __init__(self, path: str, why: str, *, damaged: bool = False) -> None:
        self.path = path
        self.why = why
        self.damaged = damaged
        super().__init__(f"store {path}: {why}")
