"""The sheet of a site: what its packets will assume, and whether its links can carry it.

A sheet goes whole in one packet, or in pieces by a link with slots. A site too large for that keeps its readings and
judges them, but can send nothing: `fengsui check` says so on the desk, the daemon says so in the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from edge.clock import Clock
from edge.config.site import Limit, Site
from edge.contract import Link, LinkState, Of
from edge.priors import priors_for
from edge.wire.basics import WireError
from edge.wire.fragment import FRAGMENT_HEAD_BYTES, MOST_FRAGMENTS
from edge.wire.seal import LONG_OVERHEAD_BYTES
from edge.wire.sheet import MAX_EPOCH, MAX_SEQ, MAX_TIME_MS, Sheet, SheetBasis, SheetGroup, SheetLimit, SheetPoint

GOOD_PIECES = 24  # of a sheet by short messages: half an hour, once; priors that would take more are left out
SEQ_BYTES = 10  # before the sheet in its packet: kind and a varint, at their longest


def sheet_of(site: Site, epoch: int, seq0: int, t0_ms: int, priors: Mapping[str, bytes] | None = None) -> Sheet:
    """What packets assume of a site. `priors`: by point id. A site of too many limits goes without their names, or
    without them: its alarms then speak for themselves. Raises WireError when even its points are too many."""
    known = priors or {}
    groups = tuple(
        SheetGroup(
            every_ms,
            tuple(SheetPoint(p.id, p.unit, p.step, p.minimum, p.maximum, known.get(p.id, b"")) for p in points),
        )
        for every_ms, points in site.groups.items()
    )
    limits = tuple(SheetLimit(m.id, m.point, int(m.rule), _levels(m), m.name, _basis(m)) for m in site.limits)
    for kept in (limits, tuple(replace(limit, name="") for limit in limits)):
        try:
            return Sheet(site.gateway.id, epoch, seq0, t0_ms, groups, kept)
        except WireError:
            continue
    return Sheet(site.gateway.id, epoch, seq0, t0_ms, groups)


def _levels(limit: Limit) -> tuple[tuple[int, int], ...]:
    """Of all its windows."""
    return tuple((int(level), at) for part in limit.judged.parts for level, at in part.thresholds)


def _basis(limit: Limit) -> SheetBasis | None:
    """What is judged, without a window where there are several."""
    judged = limit.judged
    if judged.members:
        return SheetBasis(int(Of.MEMBERS), 0, "", Decimal(1))
    if judged.spec is None:
        return None
    window_s = 0 if judged.more else judged.spec.window_s
    return SheetBasis(int(judged.spec.of), window_s, judged.spec.unit, judged.spec.step)


def longest_sheet(site: Site) -> Sheet:
    """The site's sheet with the longest numbers there can be, without priors."""
    return sheet_of(site, MAX_EPOCH, MAX_SEQ, MAX_TIME_MS)


def carries_bytes(link: LinkState) -> tuple[int, ...]:
    """How large a sheet's packet a link can carry. One with slots carries it in pieces: what goes in a reasonable
    number of them, and what goes at all."""
    if not link.slot_s:
        return (link.mtu_bytes,)
    piece_bytes = max(0, link.mtu_bytes - LONG_OVERHEAD_BYTES - FRAGMENT_HEAD_BYTES)
    return GOOD_PIECES * piece_bytes, MOST_FRAGMENTS * piece_bytes


def too_large(site: Site, mtus_bytes: Sequence[int]) -> str | None:
    """What is to be said when no link can carry the site's sheet."""
    try:
        needed_bytes = len(longest_sheet(site).encode()) + LONG_OVERHEAD_BYTES + SEQ_BYTES
    except WireError as error:
        return f"{error}; make two gateways of it"
    most_bytes = max(mtus_bytes, default=0)
    if needed_bytes <= most_bytes:
        return None
    return (
        f"nothing can be sent: the description of this site's points takes a packet of {needed_bytes} bytes, its links"
        f" take {most_bytes}; write mtu = {needed_bytes} (or more) in a [[link]]"
    )


class SheetMaker:
    """The sheet of the running gateway, with the priors that its links can carry."""

    def __init__(
        self, site: Site, links: Mapping[str, tuple[Link, float]], clock: Clock, say: Callable[[str, str], None]
    ) -> None:
        self._site = site
        self._links = links
        self._clock = clock
        self._say = say
        self._priors: dict[str, bytes] = {}

    def read_priors(self) -> None:
        """Once, before the first sheet; says what is wrong."""
        path = self._site.gateway.priors
        mtus_bytes = [room for link, _ in self._links.values() for room in carries_bytes(link.state())]
        large = too_large(self._site, mtus_bytes)
        if large is not None:
            self._say("site", large)
        elif path is not None:
            self._priors, said = priors_for(path, longest_sheet(self._site), mtus_bytes)
            for sentence in said:
                self._say("priors", sentence)

    def make(self, epoch: int, next_seq: int, bodies: list[bytes]) -> tuple[bytes, bytes]:
        """Today's site as (digest, body); the store's newest one when nothing but its counting base would differ."""
        made = sheet_of(self._site, epoch, next_seq, max(0, self._clock.now().at_ms), self._priors)
        for body in bodies[:1]:
            try:
                old = Sheet.decode(body)
            except (WireError, TypeError):
                break  # damaged: as if there were none
            if replace(made, seq0=old.seq0, t0_ms=old.t0_ms).digest == old.digest:
                return old.digest, body
        return made.digest, made.encode()
