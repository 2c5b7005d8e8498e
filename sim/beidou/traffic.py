"""What goes between a terminal and the satellite, whatever dialect the terminals at both ends speak."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.beidou.wire import Form


@dataclass(frozen=True, slots=True)
class Receipt:
    """When the centre saw a message sent and received."""

    sent_s: float
    received_s: float


@dataclass(frozen=True, slots=True)
class Message:
    """One message between two cards. `content` without the mark A4 of mixed content, `form` says what it is.

    `stored`: how it was polled ("newest" or "sender"), None for one that came by itself. `receipts`: the answer to a
    poll for them; it has no content.
    """

    sender: int
    to: int
    content: bytes
    form: Form
    radiated_s: float
    stored: str | None = None
    receipts: tuple[Receipt, ...] | None = None


@dataclass(frozen=True, slots=True)
class Poll:
    """A terminal asks the centre (CXA). `what`: "newest" message, newest by "sender" `address`, or "receipts" of
    messages to `address`."""

    sender: int
    what: str
    address: int | None


Burst = Message | Poll
