"""What was judged, in an alarm: the measure, its unit and step, and the numbers that went in. FORMAT.md section 3.

head(1): inputs in the low four bits, 16 when the sheet's limit says the rest
[varint of, varint window_s, text unit, text step]
each input: text name ("" for the alarm's point), varint 0 for none, else 1 + its zigzag
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from edge.contract import Basis, Input, Of
from edge.wire.basics import Reader, WireError, unzigzag, varint, zigzag
from edge.wire.sheet import SheetBasis

ON_SHEET = 0x10
MOST_INPUTS = 15
MOST_WINDOW_S = 10 * 366 * 86400
MOST_STEP_TEXT = 24


def sheet_basis(basis: Basis) -> SheetBasis:
    """What of it stands on the sheet."""
    return SheetBasis(int(basis.of), basis.window_s, basis.unit, basis.step)


def encode_basis(basis: Basis, on_sheet: SheetBasis | None, point: str) -> bytes:
    """`on_sheet`: what the sheet says of the limit; `point`: the alarm's. Of more than 15 inputs the first are told."""
    inputs = basis.inputs[:MOST_INPUTS]
    known = on_sheet is not None and sheet_basis(basis) == on_sheet and str(basis.step) == str(on_sheet.step)
    out = bytes([len(inputs) | (ON_SHEET if known else 0)])
    if not known:
        out += varint(basis.of) + varint(basis.window_s) + _text(basis.unit) + _text(str(basis.step))
    for name, value in inputs:
        out += _text("" if name == point else name) + varint(0 if value is None else 1 + zigzag(value))
    return out


def decode_basis(reader: Reader, on_sheet: SheetBasis | None, point: str) -> Basis:
    """The inverse. Raises WireError."""
    head = reader.byte()
    if head > (ON_SHEET | MOST_INPUTS):
        raise WireError(f"alarm: basis begins with 0x{head:02x}")
    if head & ON_SHEET:
        if on_sheet is None:
            raise WireError("alarm: its basis is not on the sheet")
        of, window_s, unit, step = on_sheet.of, on_sheet.window_s, on_sheet.unit, on_sheet.step
    else:
        of, window_s, unit, step = reader.varint(), reader.varint(), reader.text(), _step(reader.text())
    inputs = tuple(_input(reader, point) for _ in range(head & MOST_INPUTS))
    if not 0 <= window_s <= MOST_WINDOW_S:
        raise WireError(f"alarm: a window of {window_s} s")
    try:
        return Basis(Of(of), window_s, unit, step, inputs)
    except ValueError as error:
        raise WireError(f"alarm: {error}") from None


def _input(reader: Reader, point: str) -> Input:
    name, coded = reader.text(), reader.varint()
    return Input(name or point, unzigzag(coded - 1) if coded else None)


def _step(text: str) -> Decimal:
    try:
        step = Decimal(text) if len(text) <= MOST_STEP_TEXT else Decimal("NaN")
    except InvalidOperation:
        step = Decimal("NaN")
    if not step.is_finite() or not Decimal("1e-30") <= step <= Decimal("1e30"):
        raise WireError(f"alarm: {text[:40]!r} is no step")
    return step


def _text(text: str) -> bytes:
    raw = text.encode()
    return varint(len(raw)) + raw
