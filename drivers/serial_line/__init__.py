"""Instruments that print lines by themselves: NMEA 0183, separated fields, or a pattern. Settings and driver object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge.contract import DeviceSpec, Driver, OpenPort, PortSettings, Sensor


class LineDevice(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """Keys of a `[[device]]` beside the common ones."""

    format: Annotated[
        Literal["nmea", "separated", "pattern"],
        Meta(description='"nmea": NMEA 0183 with checksum; "separated": fields; "pattern": a regular expression'),
    ]
    separator: Annotated[
        str,
        Meta(min_length=1, max_length=4, description='between fields of "separated"; a blank means any run of blanks'),
    ] = ","
    fields: (
        Annotated[
            int,
            Meta(ge=1, le=256, description='how many fields a line of "separated" has; others are noise. Worth giving'),
        ]
        | None
    ) = None
    pattern: Annotated[
        str,
        Meta(
            max_length=512, description='for "pattern": matches the whole line, named groups (?P<name>...) are values'
        ),
    ] = ""
    starts_with: Annotated[str, Meta(max_length=64, description="lines that begin otherwise are not for us")] = ""


class LinePoint(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """Keys of a `[[device.point]]` beside the common ones."""

    field: (
        Annotated[int, Meta(ge=0, le=255, description="which field, from 0; in NMEA 0 is the sentence id")] | None
    ) = None
    sentence: Annotated[
        str, Meta(max_length=16, description='NMEA: "MWV" from any talker, or the whole id as "WIMWV", "PRDID"')
    ] = ""
    group: Annotated[str, Meta(max_length=64, description="name of the group in the pattern")] = ""
    scale: Annotated[float, Meta(description="value = number * scale + offset")] = 1.0
    offset: Annotated[float, Meta(description="value = number * scale + offset")] = 0.0
    invalid: Annotated[
        tuple[str, ...], Meta(description='texts that mean "no value", as "9999.9"; an empty field always does')
    ] = ()


def _point_problems(device: LineDevice, point: LinePoint, groups: Mapping[str, int]) -> list[str]:
    problems = []
    if device.format == "pattern":
        if not point.group:
            problems.append("group is missing: the name of a group of the pattern")
        elif point.group not in groups:
            problems.append(f"group {point.group!r} is not in the pattern, which has: {', '.join(groups) or 'none'}")
        if point.field is not None:
            problems.append('field is for "nmea" and "separated"; a pattern has group')
    else:
        if point.field is None:
            problems.append("field is missing: its number, from 0")
        elif device.format == "separated" and device.fields is not None and point.field >= device.fields:
            problems.append(f"field {point.field} is beyond the last of {device.fields} (they count from 0)")
        if point.group:
            problems.append('group is for "pattern"; this format has field')
    if (device.format == "nmea") != bool(point.sentence):
        problems.append('sentence is missing, as "MWV"' if not point.sentence else 'sentence is for "nmea" only')
    return problems


def _device_problems(device: LineDevice) -> tuple[list[str], Mapping[str, int]]:
    """What is wrong with the device's own keys, and the groups its pattern has."""
    if device.format != "pattern":
        return (['pattern is for format = "pattern" only'] if device.pattern else []), {}
    import re

    from drivers.serial_line.pattern import pattern_problems

    if not device.pattern:
        return ["pattern is missing"], {}
    problems = [f"pattern: {problem}" for problem in pattern_problems(device.pattern)]
    return problems, {} if problems else re.compile(device.pattern).groupindex


def check(port: PortSettings, devices: Sequence[DeviceSpec]) -> Sequence[str]:
    """Sentences about settings that are wrong together, each beginning with the device or point id."""
    first = devices[0].id
    problems = [
        f"{other.id}: port {port.id} already has {first}; one that prints lines a port" for other in devices[1:]
    ]
    for device in devices:
        own, groups = _device_problems(device.settings)
        problems += [f"{device.id}: {problem}" for problem in own]
        if own:
            continue
        for point_id, point in device.points.items():
            problems += [f"{point_id}: {problem}" for problem in _point_problems(device.settings, point, groups)]
    return problems


def sensors(port: PortSettings, open_port: OpenPort, devices: Sequence[DeviceSpec]) -> Mapping[str, Sensor]:
    """The sensor of the one device on a port; opens nothing yet."""
    from drivers.serial_line.sensor import LineSensor

    return {device.id: LineSensor(device, port, open_port) for device in devices}


DRIVER = Driver(name="serial_line", device=LineDevice, point=LinePoint, sensors=sensors, check=check)
