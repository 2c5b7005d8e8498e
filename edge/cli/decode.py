"""`fengsui decode packet`: opens one sealed packet and says what is in it. Asks no daemon, changes nothing.

    the clear head      what everybody on the way can read: form, some of epoch and counter, which sheet
    opened              genuine for this key and gateway, or not (exit 1)
    the body            rounds, alarms, status, account, sheet or receipt, in words

Key, gateway, epoch and sheets come from a site file and the store beside it, read while the daemon may be running, or
from options. The short form of a packet names only the last bits of epoch and counter: both are searched.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import click

from edge.cli import EXIT_FAILED
from edge.cli.bodies import as_json, lines, points_of
from edge.cli.show import printable
from edge.cli.verbs import json_option
from edge.config.load import load
from edge.wire.basics import WireError
from edge.wire.packet import Body, Receipt, SheetPacket
from edge.wire.packet import decode as decode_body
from edge.wire.seal import (
    EPOCH_MASK,
    LONG,
    LONG_HEAD_BYTES,
    LONG_OVERHEAD_BYTES,
    SHORT_HEAD_BYTES,
    SHORT_OVERHEAD_BYTES,
    SUITE_SM4,
    VERSION_BITS,
    VERSION_MASK,
    Direction,
    Noise,
    Opened,
    open_packet,
    parse_key_file,
)
from edge.wire.sheet import Sheet

FILE_MOST_BYTES = 1_000_000  # a packet as hexadecimal text takes an eighth of it
STORE_NAME = "outbox.db"  # edge/outbox.py
STORE_WAIT_S = 0.1  # a running daemon holds its store for good
COUNTERS_TRIED = 1 << 22  # of a short packet, when no store tells how far they have come: years on a narrow link
COUNTERS_AT_ONCE = 3 << 16  # what one call of open_packet looks at around the counter it is given


class Head(NamedTuple):
    """What a packet shows in clear. Of a short one `epoch` is 3 bits and `counter` 16."""

    long: bool
    epoch: int
    counter: int
    sheet: int
    sealed_bytes: int


@dataclass
class Known:
    """All there is to open packets with. `epochs`: epoch -> a counter above all used, 0 when that is not known."""

    gateway: str | None = None
    root: bytes | None = None
    sheets: list[Sheet] = field(default_factory=list)
    epochs: dict[int, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, sheet: Sheet) -> None:
        if sheet not in self.sheets:
            self.sheets.append(sheet)
        self.epochs.setdefault(sheet.epoch, 0)


@click.command()
@click.argument("packet", metavar="PACKET")
@click.option("--key", type=click.Path(path_type=Path), help="The gateway's key file (fengsui keygen).")
@click.option("--gateway", help="The gateway's id.")
@click.option("--site", type=click.Path(path_type=Path), help="Site file: gives key, gateway, and its store's sheets.")
@click.option("--sheet", "sheets", multiple=True, help="A packet that holds a sheet, as PACKET; may be repeated.")
@click.option("--down", is_flag=True, help="From the province to the gateway (else: from the gateway).")
@json_option
def packet(
    packet: str,
    key: Path | None,
    gateway: str | None,
    site: Path | None,
    sheets: Sequence[str],
    down: bool,
    as_json: bool,
) -> None:
    """Open a sealed packet and print what it says.

    PACKET is hexadecimal, @FILE, or - for standard input.
    """
    raw = _bytes_of(packet, "PACKET")
    known = _known(key, gateway, site)
    _add_sheets(known, sheets)
    head, why = _head(raw)
    if head is None:
        _finish({"head": None, "genuine": False, "why": why, "notes": known.notes}, [f"no packet: {why}"], as_json)
    elif known.root is None or known.gateway is None:
        missing = [f"--{name}" for name, have in (("key", known.root), ("gateway", known.gateway)) if have is None]
        why = f"to open it, add {' and '.join(missing)}; or --site, which has both"
        answer = {"head": _head_json(head), "genuine": None, "why": why, "notes": known.notes}
        _finish(answer, [_head_words(head), why], as_json)
    else:
        _show_opened(raw, head, known, Direction.DOWN if down else Direction.UP, as_json)


def _show_opened(raw: bytes, head: Head, known: Known, direction: Direction, as_json: bool) -> None:
    answer: dict[str, Any] = {"head": _head_json(head), "genuine": False, "notes": known.notes}
    text = [_head_words(head)]
    found = _open(raw, head, known, direction)
    if isinstance(found, Noise):
        answer["why"] = _not_opened(found, head, known, direction)
        _finish(answer, [*text, answer["why"]], as_json)
        return
    answer |= {"genuine": True, "epoch": found.epoch, "counter": found.counter}
    answer |= {"sheet": found.sheet.digest.hex() if found.sheet else None}
    named = f"sheet {found.sheet.digest.hex()}" if found.sheet else "no sheet"
    text.append(f"genuine: gateway {known.gateway}, epoch {found.epoch:08x}, counter {found.counter}, {named}")
    try:
        body = decode_body(found.body, found.sheet)
    except WireError as error:
        answer["why"] = f"genuine, but its body is malformed: {error}"
        _finish(answer, [*text, answer["why"]], as_json)
        return
    if isinstance(body, Receipt) and body.epoch is None:
        body = replace(body, epoch=found.epoch)
    _finish(*_told(answer, text, body, found.sheet, known), as_json)


def _told(
    answer: dict[str, Any], text: list[str], body: Body, sheet: Sheet | None, known: Known
) -> tuple[dict[str, Any], list[str]]:
    points = points_of([*([sheet] if sheet else []), *known.sheets])
    kind = "sheet" if isinstance(body, SheetPacket) else type(body).__name__.lower()
    answer |= {"kind": kind, "body": as_json(body, sheet, points)}
    return answer, [*text, f"{kind}:", *(f"  {line}" for line in lines(body, sheet, points))]


def _finish(answer: dict[str, Any], text: list[str], as_json: bool) -> None:
    """Prints the answer; exit 1 when it has `genuine` False, or a genuine packet without a readable body."""
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False, indent=2))
    else:
        for line in text:
            click.echo(printable(line))
        for note in answer["notes"]:
            click.echo(f"note: {printable(note)}", err=True)
    if answer["genuine"] is False or (answer["genuine"] and "body" not in answer):
        raise click.exceptions.Exit(EXIT_FAILED)


# -- what is given -----------------------------------------------------------------------------------------------------


def _bytes_of(given: str, name: str) -> bytes:
    """Bytes from hexadecimal (blanks, line ends, colons and 0x allowed), @FILE or -; a file may also be binary."""
    if given == "-":
        raw = sys.stdin.buffer.read(FILE_MOST_BYTES + 1)
    elif given.startswith("@"):
        try:
            with Path(given[1:]).open("rb") as file:
                raw = file.read(FILE_MOST_BYTES + 1)
        except OSError as error:
            raise click.BadParameter(
                f"{given[1:]} can not be read: {error.strerror or error}", param_hint=name
            ) from None
    else:
        found = _from_hex(given)
        if found is None:
            raise click.BadParameter("not hexadecimal; a file is given as @FILE", param_hint=name)
        return found
    if len(raw) > FILE_MOST_BYTES:
        raise click.BadParameter(f"more than {FILE_MOST_BYTES} bytes: not one packet", param_hint=name)
    text = raw.decode("ascii", "replace")
    found = _from_hex(text)
    return raw if found is None else found


def _from_hex(text: str) -> bytes | None:
    digits = "".join(text.replace(":", " ").split()).removeprefix("0x")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return None


def _known(key: Path | None, gateway: str | None, site: Path | None) -> Known:
    """Raises SiteFileError for a wrong site file, click.BadParameter for a key that can not be used."""
    known = Known(gateway)
    if site is not None:
        found = load(site)
        known.gateway = gateway or found.gateway.id
        key = key or found.gateway.key
        _add_store(known, found.store.folder / STORE_NAME)
    if key is not None:
        try:
            known.root = parse_key_file(key.read_text("ascii"))
        except OSError as error:
            raise click.BadParameter(f"{key}: {error.strerror or error}", param_hint="--key") from None
        except ValueError as error:  # WireError, and text that is not ASCII
            raise click.BadParameter(f"{key}: {error}", param_hint="--key") from None
    return known


def _add_store(known: Known, path: Path) -> None:
    """Epoch and sheets of a store, opened read-only; what can not be read becomes a note.

    A running gateway has the file to itself. Then it is read as it lies there, past the lock and without the log of
    the last minutes: what that may get wrong opens no packet, for sheets prove themselves and packets are sealed.
    """
    try:
        try:
            _read_store(known, path, "mode=ro")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            _read_store(known, path, "immutable=1")
            known.notes.append(f"the gateway runs: what it wrote in the last minutes is not seen in its store {path}")
    except (sqlite3.Error, WireError, TypeError) as error:  # TypeError: a store without its one row
        known.notes.append(f"nothing more is taken from the store {path}: {error}")


def _read_store(known: Known, path: Path, how: str) -> None:
    store = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=STORE_WAIT_S)
    try:
        epoch, counter_high = store.execute("SELECT epoch, counter_high FROM store").fetchone()
        known.epochs[epoch] = counter_high
        for (body,) in store.execute("SELECT body FROM sheet ORDER BY id DESC"):
            known.add(Sheet.decode(body))
    finally:
        store.close()


def _add_sheets(known: Known, sheets: Sequence[str]) -> None:
    for given in sheets:
        raw = _bytes_of(given, "--sheet")
        head, why = _head(raw)
        if known.root is None or known.gateway is None:
            raise click.BadParameter(
                "a sheet is sealed like any packet: give the key and gateway", param_hint="--sheet"
            )
        if head is not None:
            found = _open(raw, head, known, Direction.UP)
            why = found.why if isinstance(found, Noise) else _take_sheet(known, found)
        if why:
            raise click.BadParameter(why, param_hint="--sheet")


def _take_sheet(known: Known, opened: Opened) -> str:
    """Adds the sheet in a packet; why not, else empty."""
    try:
        body = decode_body(opened.body, opened.sheet)
    except WireError as error:
        return str(error)
    if not isinstance(body, SheetPacket):
        return f"this packet holds no sheet but: {type(body).__name__.lower()}"
    known.add(body.sheet)
    return ""


# -- opening -----------------------------------------------------------------------------------------------------------


def _head(raw: bytes) -> tuple[Head | None, str]:
    """The clear head, or why there is none."""
    if not raw:
        return None, "no bytes at all"
    if raw[0] & VERSION_MASK != VERSION_BITS:
        return None, f"the first byte is 0x{raw[0]:02x}; one of ours begins with 0x40 to 0x5f"
    if raw[0] & SUITE_SM4:
        return None, "sealed with SM4-CCM, which this program can not open"
    long = bool(raw[0] & LONG)
    overhead_bytes = LONG_OVERHEAD_BYTES if long else SHORT_OVERHEAD_BYTES
    if len(raw) <= overhead_bytes:
        return None, f"only {len(raw)} bytes; head and tag alone take {overhead_bytes}"
    if long:
        epoch, counter = int.from_bytes(raw[1:5], "big"), int.from_bytes(raw[5:10], "big")
        return Head(True, epoch, counter, raw[LONG_HEAD_BYTES - 1], len(raw) - LONG_HEAD_BYTES), ""
    counter = int.from_bytes(raw[1:3], "big")
    return Head(False, raw[0] & EPOCH_MASK, counter, raw[SHORT_HEAD_BYTES - 1], len(raw) - SHORT_HEAD_BYTES), ""


def _open(raw: bytes, head: Head, known: Known, direction: Direction) -> Opened | Noise:
    """Tries every key, epoch, counter and sheet there is."""
    assert known.root is not None
    assert known.gateway is not None
    found: Opened | Noise = Noise(raw, "")
    for epochs in [{}] if head.long else _searched(known, direction):
        found = open_packet(raw, known.root, known.gateway, direction, epochs, known.sheets)
        if isinstance(found, Opened):
            return found
    return found


def _searched(known: Known, direction: Direction) -> Iterator[dict[int, int]]:
    """One epoch and a counter each, until every counter that may have been used was looked at, the newest first."""
    yield dict.fromkeys(known.epochs, 0)
    for epoch, high in known.epochs.items():
        top = high if high and direction is Direction.UP else COUNTERS_TRIED
        yield from ({epoch: counter} for counter in range(top, 0, -COUNTERS_AT_ONCE))


def _not_opened(noise: Noise, head: Head, known: Known, direction: Direction) -> str:
    """Why it could not be opened, and what to try."""
    if noise.sheet_short is not None:
        return (
            f"it names a sheet that is not known here (0x{head.sheet:02x}): add --sheet with the packet that holds it"
        )
    if not head.long and not any((epoch ^ head.epoch) & EPOCH_MASK == 0 for epoch in known.epochs):
        return (
            f"the short form shows only 3 bits of the epoch ({head.epoch}), and none that is known here fits: "
            "add --site with the store it came from, or --sheet with a sheet of that store"
        )
    other = "it come down from the province (--down)" if direction is Direction.UP else "it go up (without --down)"
    return (
        f"not genuine for gateway {known.gateway} and this key: forged, damaged, or another's. "
        f"Compare the fingerprints of the keys (fengsui check); did {other}?"
    )


def _head_words(head: Head) -> str:
    form = "long form" if head.long else "short form"
    epoch = f"epoch {head.epoch:08x}" if head.long else f"epoch ...{head.epoch:03b} (its last 3 bits)"
    counter = f"counter {head.counter}" if head.long else f"counter ...{head.counter:04x} (its last 16 bits)"
    sheet = f"sheet 0x{head.sheet:02x}..." if head.sheet else "no sheet"
    return f"head: {form}, AES-CCM, {epoch}, {counter}, {sheet}, {head.sealed_bytes} bytes sealed"


def _head_json(head: Head) -> dict[str, Any]:
    """Of a short packet `epoch` is its last 3 bits and `counter` its last 16."""
    return {"form": "long" if head.long else "short", **head._asdict()}
