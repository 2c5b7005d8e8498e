"""A port's bytes, cut into values: text sentences and 4.0 frames mixed, in chunks of any size.

What comes out does not depend on how the bytes were cut into chunks. Every byte is in some value's `raw` or in Noise,
save line ends between frames. At most MAX_CONTENT_LINE bytes wait for more. A candidate begins at `$` or `!` before a
capital letter; when it fails, one byte is given up and the search goes on behind it, so that a damaged frame costs
nothing of the next one. What a damaged frame is waiting for may be the next one, though: call `flush` when the wire has
been quiet for longer than a pause inside a frame (0.2 s is plenty), and everything held is decided.

A message of raw text can hold anything, line ends and whole sentences too: they are its content as long as its own
checksum says so. Whoever may send us a message of text can write it so that a part reads as a sentence of the terminal:
nothing in the bytes tells the difference. Forms of digits, which our packets use, give no such way.
"""

from __future__ import annotations

import re

from drivers.beidou.wire import binary, messages, text
from drivers.beidou.wire.values import Ack, Heard, Noise

MAX_LINE = 512  # sentences are under 200 bytes; the longest seen is a list of subordinates
MAX_CONTENT_LINE = 4096  # 14000 bits, the most that BDS-3 carries, are 3502 digits
MAX_EXTRA_LINES = 2  # line ends that raw text is let hold before its checksum must come
MAX_NOISE = 512  # one piece of noise
MAX_LENGTH_HIGH = 0x08  # high byte of a 4.0 frame's length, 2048 at most; in text a letter or a line end stands there

_CONTENT_HEADS = tuple(head.encode("ascii") for head in messages.READERS)
_START = re.compile(rb"[$!](?=[A-Z]|\Z)")
_NOISE_END = re.compile(rb"\n|[$!](?=[A-Z]|\Z)")
_LINE_END = re.compile(rb"\r\n?|\n")
_PLAIN_END = re.compile(rb"[\x00-\x1f\x7f$]")  # no sentence but a raw text message holds one of these
_ACK = re.compile(rb"([A-Z]{3}) OK!\r?\n?")
_CRLF = b"\r\n"
_TAIL_HEAD = re.compile(rb"\$[A-Z]{2,5}\Z")  # no good frame has letters there: flags, numbers and the check stand there
_INNER_HEAD = re.compile(rb"\$(?:(?:BD|CC|G[A-Z])[A-Z0-9]{3},|[A-Z]{4}[\x00-\x08])")


class _Failed(str):
    """Why there is no frame here."""

    __slots__ = ()


class Stream:
    """Cuts one direction of a port into values."""

    def __init__(self) -> None:
        self._held = b""
        self._spoiled = ""  # why the first held byte begins no frame; "" when that is open

    @property
    def held_bytes(self) -> int:
        """How much waits for more."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Heard]:
        """What is complete after these bytes."""
        return self._cut(self._held + data, final=False)

    def flush(self) -> list[Heard]:
        """The wire is quiet: what is held ends here."""
        return self._cut(self._held, final=True)

    def _cut(self, data: bytes, *, final: bool) -> list[Heard]:
        out: list[Heard] = []
        begin = 0
        while begin < len(data):
            if not self._spoiled and _START.match(data, begin):
                found = _candidate(data, begin, final)
                if found is None:
                    break
                if isinstance(found, _Failed):
                    self._spoiled = found
                    continue
                value, begin = found
                out.append(value)
            else:
                end = self._noise_end(data, begin, final)
                if end is None:
                    break
                out += self._noise(data[begin:end])
                begin = end
        self._held = data[begin:]
        return out

    def _noise_end(self, data: bytes, begin: int, final: bool) -> int | None:
        """Where a piece of noise ends: after a line end, before a possible start, or at MAX_NOISE. None: not here yet.

        A start at the very end of the data is only one if a capital follows.
        """
        match = _NOISE_END.search(data, begin + bool(self._spoiled))
        most = begin + MAX_NOISE
        if match is None:
            return most if len(data) >= most else len(data) if final else None
        end = match.end() if match[0] == b"\n" else match.start()
        if end > most:
            return most
        if match[0] != b"\n" and match.end() == len(data):
            return len(data) if final else None
        return end

    def _noise(self, piece: bytes) -> list[Heard]:
        spoiled, self._spoiled = self._spoiled, ""
        ack = _ACK.fullmatch(piece)
        if ack is not None:
            return [Ack(ack[1].decode("ascii"), piece.rstrip(_CRLF))]
        if not spoiled and not piece.strip(_CRLF):
            return []
        return [Noise(piece, spoiled or "no sentence and no frame begins here")]


def _candidate(data: bytes, begin: int, final: bool) -> tuple[Heard, int] | _Failed | None:
    """The value that begins at `begin` and where it ends; why there is none; None: needs more bytes."""
    if len(data) < begin + 7:
        return _Failed("cut off after its first bytes") if final else None
    if data[begin] == ord("$") and data[begin + 5] <= MAX_LENGTH_HIGH and data[begin + 1 : begin + 5].isalpha():
        return _binary(data, begin, final)
    if not text.HEAD.match(data, begin + 1) or data[begin + 6] not in b",*":
        return _Failed("no sentence begins like this")
    if data[begin + 1 : begin + 6] not in _CONTENT_HEADS:
        return _plain(data, begin, MAX_LINE, final)
    prefix = messages.text_prefix(data[begin : begin + MAX_LINE])
    if prefix:
        return _raw_text(data, begin, begin + prefix, final)
    return _plain(data, begin, MAX_CONTENT_LINE, final)


def _binary(data: bytes, begin: int, final: bool) -> tuple[Heard, int] | _Failed | None:
    length = binary.size(data, begin)
    if isinstance(length, str):
        return _Failed(length)
    if length is None or len(data) < begin + length:
        told = "" if length is None else f": {len(data) - begin} of {length} bytes"
        return _Failed(f"cut off{told}") if final else None
    frame = data[begin : begin + length]
    wrong = binary.wrong_check(frame)
    if wrong:
        return _Failed(wrong)
    if _bites(frame):
        return _Failed("cut off: the next frame begins inside, and the check fits by chance")
    value = binary.read_frame(frame)
    return _Failed(value.why) if isinstance(value, Noise) else (value, begin + length)


def _bites(frame: bytes) -> bool:
    """Whether a frame that has lost bytes has taken the first ones of the next: its 8-bit check misses 1 in 256."""
    if _TAIL_HEAD.search(frame):
        return True
    for match in _INNER_HEAD.finditer(frame, 1):
        start = match.start()
        if frame[start + 5] > MAX_LENGTH_HIGH:
            if not _LINE_END.search(frame, start):
                return True
        else:
            length = binary.size(frame, start)
            if length is None or (isinstance(length, int) and start + length > len(frame)):
                return True
    return False


def _plain(data: bytes, begin: int, most: int, final: bool) -> tuple[Heard, int] | _Failed | None:
    """A sentence of printable characters: it ends at the line's end, or where the next one begins without one."""
    match = _PLAIN_END.search(data, begin + 6)
    end = match.start() if match is not None else len(data)
    if end - begin > most:
        return _Failed(f"no line end in {most} bytes")
    if match is None and not final:
        return None
    if match is not None and match[0] not in b"\r\n$":
        return _Failed(f"byte {data[end]:02X} in the middle of a sentence")
    line = data[begin:end]
    wrong = text.wrong_check(line)
    return _Failed(wrong) if wrong else (text.read_sentence(line), end)


def _raw_text(data: bytes, begin: int, content: int, final: bool) -> tuple[Heard, int] | _Failed | None:
    """A message of raw text: it ends at the first line end where the checksum holds."""
    why = ""
    for number, match in enumerate(_LINE_END.finditer(data, content, begin + MAX_CONTENT_LINE)):
        end = match.start()
        wrong = _wrong_text(data[begin:end], content - begin)
        if not wrong:
            return text.read_sentence(data[begin:end]), end
        why = why if "expected" in why else wrong
        if number == MAX_EXTRA_LINES:
            return _Failed(why)
    if len(data) - begin >= MAX_CONTENT_LINE:
        return _Failed(why or f"no line end in {MAX_CONTENT_LINE} bytes")
    if not final:
        return None
    wrong = _wrong_text(data[begin:], content - begin)
    return _Failed(why or wrong) if wrong else (text.read_sentence(data[begin:]), len(data))


def _wrong_text(line: bytes, content: int) -> str:
    """Why a line is no whole message of raw text; "" when it is. One that was cut off runs on into the next sentence,
    and the next one's checksum fits both in 1 of 256."""
    wrong = text.wrong_check(line)
    inner = line.rfind(b"$", content)
    if wrong or inner < 0 or not text.HEAD.match(line, inner + 1) or text.wrong_check(line[inner:]):
        return wrong
    return "cut off: the next sentence begins inside, and its checksum fits both"
