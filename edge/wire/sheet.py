"""The sheet: all that packets assume about a site, named in each of them by its digest.

A sheet is written as deterministic CBOR, deflated when that is shorter. Its digest is SHA-256 over the CBOR itself
(not over the deflated form, which differs between zlib versions), cut to 16 bytes; a packet shows the first byte and
authenticates all. FORMAT.md section 4 is the contract. Imports nothing of ours but the wire's basics; reads and
writes nothing.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from edge.wire.basics import WireError, read_cbor, write_cbor
from edge.wire.prior import Prior

SHEET_VERSION = 1
DIGEST_BYTES = 16
MAX_SHEET_BYTES = 1 << 18  # inflated: 1000 points with full priors take about 100 kB
MAX_PRIOR_BYTES = 96  # for each point, so that 100 points still fit one 16 kB packet
MAX_EPOCH = 2**32 - 1
MAX_SEQ = 2**63 - 1  # SQLite's AUTOINCREMENT ends there
MAX_TIME_MS = 2**53 - 1

RAW, DEFLATED = 0, 1


@dataclass(frozen=True, slots=True)
class SheetPoint:
    """A point as packets see it: `step`, `minimum`, `maximum` in `unit`; `prior` starts its coder (b"": no history)."""

    id: str
    unit: str
    step: Decimal
    minimum: Decimal | None
    maximum: Decimal | None
    prior: bytes = b""


@dataclass(frozen=True, slots=True)
class SheetGroup:
    """Points read together, every `every_ms`."""

    every_ms: int
    points: tuple[SheetPoint, ...]


@dataclass(frozen=True, slots=True)
class SheetBasis:
    """What a limit judges where that is not its point's value: `of` is `contract.Of`, `step` of its thresholds."""

    of: int
    window_s: int
    unit: str
    step: Decimal


@dataclass(frozen=True, slots=True)
class SheetLimit:
    """A limit of the site: `levels` are pairs (`contract.Level`, threshold); steps of the point, or of `basis`, or
    seconds for STALE and SUSPECT.
    """

    id: str
    point: str
    rule: int
    levels: tuple[tuple[int, int], ...]
    name: str = ""
    basis: SheetBasis | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """One site at one time. `seq0`, `t0_ms`: the next seq and the UTC time when it was made; packets count from
    there.
    """

    gateway: str
    epoch: int
    seq0: int
    t0_ms: int
    groups: tuple[SheetGroup, ...]
    limits: tuple[SheetLimit, ...] = ()
    plain: bytes = field(init=False, repr=False, compare=False)
    digest: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self)
        plain = write_cbor(_to_items(self))
        if len(plain) > MAX_SHEET_BYTES:
            raise WireError(f"sheet of {len(plain)} bytes, {MAX_SHEET_BYTES} at most: too many points or limits")
        object.__setattr__(self, "plain", plain)
        object.__setattr__(self, "digest", hashlib.sha256(plain).digest()[:DIGEST_BYTES])

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def short(self) -> int:
        """The byte that stands for this sheet in a packet, 1..255; 0 there means no sheet."""
        return self.digest[0] or 1

    def encode(self) -> bytes:
        """The sheet as it travels: one byte (0 plain, 1 deflated), then CBOR."""
        deflated = zlib.compress(self.plain, 9)
        if len(deflated) < len(self.plain):
            return bytes([DEFLATED]) + deflated
        return bytes([RAW]) + self.plain

    @staticmethod
    def decode(data: bytes) -> Sheet:
        """The inverse of `encode`. Raises WireError for anything else, also for CBOR that is not the deterministic
        one.
        """
        plain = _inflate(data)
        sheet = _from_items(read_cbor(plain))
        if sheet.plain != plain:
            raise WireError("sheet is not in its one deterministic form")
        return sheet


def _check(sheet: Sheet) -> None:
    if not 0 <= sheet.epoch <= MAX_EPOCH or not 0 <= sheet.seq0 <= MAX_SEQ or not 0 <= sheet.t0_ms <= MAX_TIME_MS:
        raise WireError("sheet: epoch, seq0 or t0_ms out of range")
    for group in sheet.groups:
        if not 0 < group.every_ms <= MAX_TIME_MS:
            raise WireError(f"sheet: every_ms is {group.every_ms}")
        for point in group.points:
            if len(point.prior) > MAX_PRIOR_BYTES:
                raise WireError(f"sheet: prior of {point.id} has {len(point.prior)} bytes, {MAX_PRIOR_BYTES} at most")
            Prior.decode(point.prior)


def _to_items(sheet: Sheet) -> list[Any]:
    groups = [
        [g.every_ms, [[p.id, p.unit, str(p.step), _number(p.minimum), _number(p.maximum), p.prior] for p in g.points]]
        for g in sheet.groups
    ]
    limits = [
        [m.id, m.point, m.rule, [list(p) for p in m.levels], m.name, *_basis_items(m.basis)] for m in sheet.limits
    ]
    return [SHEET_VERSION, sheet.gateway, sheet.epoch, sheet.seq0, sheet.t0_ms, groups, limits]


def _basis_items(basis: SheetBasis | None) -> list[Any]:
    return [] if basis is None else [[basis.of, basis.window_s, basis.unit, str(basis.step)]]


def _number(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _inflate(data: bytes) -> bytes:
    if not data or data[0] > DEFLATED:
        raise WireError("sheet: neither plain nor deflated")
    if data[0] == RAW:
        if len(data) > MAX_SHEET_BYTES:
            raise WireError(f"sheet longer than {MAX_SHEET_BYTES} bytes")
        return data[1:]
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(data[1:], MAX_SHEET_BYTES)
    except zlib.error as error:
        raise WireError(f"sheet: {error}") from None
    if not inflater.eof or inflater.unused_data:
        raise WireError("sheet: deflated data too long or not complete")
    return plain


def _from_items(items: Any) -> Sheet:
    version, gateway, epoch, seq0, t0_ms, groups, limits = _fields(items, int, str, int, int, int, list, list)
    if version != SHEET_VERSION:
        raise WireError(f"sheet version {version}, this program knows {SHEET_VERSION}")
    return Sheet(gateway, epoch, seq0, t0_ms, tuple(map(_group, groups)), tuple(map(_limit, limits)))


def _group(items: Any) -> SheetGroup:
    every_ms, points = _fields(items, int, list)
    return SheetGroup(every_ms, tuple(map(_point, points)))


def _point(items: Any) -> SheetPoint:
    name, unit, step, low, high, prior = _fields(items, str, str, str, (str, type(None)), (str, type(None)), bytes)
    return SheetPoint(name, unit, _decimal(step), _maybe(low), _maybe(high), prior)


def _limit(items: Any) -> SheetLimit:
    basis = _basis(items[5]) if isinstance(items, list) and len(items) == 6 else None
    name, point, rule, levels, title = _fields(items[:5] if basis else items, str, str, int, list, str)
    pairs = (_fields(pair, int, int) for pair in levels)
    return SheetLimit(name, point, rule, tuple((level, threshold) for level, threshold in pairs), title, basis)


def _basis(items: Any) -> SheetBasis:
    of, window_s, unit, step = _fields(items, int, int, str, str)
    return SheetBasis(of, window_s, unit, _decimal(step))


def _fields(items: Any, *types: type | tuple[type, ...]) -> Iterable[Any]:
    """`items` if it is a list of exactly these types (True is no whole number)."""
    fits = isinstance(items, list) and len(items) == len(types)
    if not fits or any(isinstance(i, bool) or not isinstance(i, t) for i, t in zip(items, types, strict=True)):
        raise WireError("sheet: not the fields expected")
    return items  # type: ignore[no-any-return]


def _maybe(text: str | None) -> Decimal | None:
    return None if text is None else _decimal(text)


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise WireError(f"sheet: {text[:40]!r} is not a number") from None
    if not number.is_finite():
        raise WireError(f"sheet: {text[:40]!r} is not a finite number")
    return number
