"""Spoken text: a SYN6288 speech module on a serial port of its own, before an amplifier. On is to speak the action's
text, off to be silent. `wire` holds the frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from drivers.syn6288 import wire
from edge.contract import Driver, OpenPort, Output, OutputSpec, PortSettings, Sensor

STRANGE_SHOWN = 10


class SpeechOutput(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """It has no keys of its own: the volume is set at the amplifier."""


def check_outputs(port: PortSettings | None, specs: Sequence[OutputSpec]) -> list[str]:
    """One module has a wire for itself."""
    if len(specs) > 1:
        return [f"{spec.id}: a speech module needs a port of its own" for spec in specs[1:]]
    return []


def check_text(text: str) -> str:
    """What it could not speak; "" if nothing."""
    strange = "".join(dict.fromkeys(char for char in text if not wire.speakable(char)))
    if strange:
        return f"the module has no “{strange[:STRANGE_SHOWN]}” (it speaks what is in GBK): write it in other words"
    size = sum(len(char.encode(wire.CODEC)) for char in text)
    if size > wire.TEXT_MOST_BYTES:
        return f"{size} bytes; it speaks {wire.TEXT_MOST_BYTES} at once, {wire.TEXT_MOST_BYTES // 2} Chinese characters"
    return ""


def outputs(
    port: PortSettings | None, open_port: OpenPort, specs: Sequence[OutputSpec], _sensors: Mapping[str, Sensor]
) -> Mapping[str, Output]:
    """The module on one port."""
    from drivers.syn6288.output import Speech

    if port is None:
        raise ValueError("a speech module without a port")
    return {spec.id: Speech(port, open_port) for spec in specs}


DRIVER = Driver(
    name="syn6288",
    output=SpeechOutput,
    output_port=True,
    outputs=outputs,
    check_outputs=check_outputs,
    check_text=check_text,
)
