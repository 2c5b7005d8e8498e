"""A local command as an output: one for on, one for off, and nothing else is ever run.

What may run stands in the site file, whole: an absolute path and fixed arguments, no shell, nothing from an alarm or an
order goes in. It gets an almost empty environment, no input, and a time limit, after which it and its process group are
killed; what it leaves running in its group dies with the next order (what it has put into a session of its own, as
setsid and daemons do, lives on). 0 as exit code is done; how the thing stands afterwards can not be asked.

The commonest shells are refused as the program to run, against slips. That is no protection from who may write the site
file: an interpreter has many names, and a script of one's own may do what it likes.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec
from msgspec import Meta

from drivers.duration import parse_duration_s
from edge.contract import Driver, OpenPort, Output, OutputSpec, PortSettings, Sensor

TIME_LEAST_S, TIME_MOST_S = 0.1, 10.0  # longer, and an output waits for it that has to be switched off
SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "csh", "tcsh", "fish", "busybox", "env", "sudo", "su"}

KEYS = ("run_on", "run_off")

Words = Annotated[tuple[str, ...], Meta(min_length=1, max_length=32)]


class CommandOutput(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Keys of `[[output]]`."""

    run_on: Annotated[Words, Meta(description='Absolute path and fixed arguments: ["/usr/local/bin/horn", "on"]')]
    run_off: Annotated[Words, Meta(description='["/usr/local/bin/horn", "off"]; also run at the start and at the end')]
    timeout: Annotated[str, Meta(description="Killed after so long")] = "2s"


def check_outputs(_port: PortSettings | None, specs: Sequence[OutputSpec]) -> list[str]:
    """Sentences about what must not run."""
    found = []
    for spec in specs:
        for key in KEYS:
            if any("\0" in word for word in getattr(spec.settings, key)):
                found.append(f"{spec.id}: {key}: holds a NUL character")
                continue
            path = PurePosixPath(getattr(spec.settings, key)[0])
            if not path.is_absolute() or ".." in path.parts:
                found.append(f"{spec.id}: {key}: {path} is no absolute path")
            elif path.name in SHELLS:
                found.append(f"{spec.id}: {key}: {path.name} is not run; name the program, or a script of your own")
        try:
            in_range = TIME_LEAST_S <= parse_duration_s(spec.settings.timeout) <= TIME_MOST_S
        except ValueError as error:
            found.append(f"{spec.id}: timeout: {error}")
        else:
            if not in_range:
                found.append(f"{spec.id}: timeout is outside {TIME_LEAST_S * 1000:g}ms to {TIME_MOST_S:g}s")
    return found


def lacks(specs: Sequence[OutputSpec]) -> list[str]:
    """Programs that can not be run here, or that anybody may replace."""
    return [
        f"{spec.id}: {key}: {path} {why}"
        for spec in specs
        for key in KEYS
        if (why := _not_runnable(path := Path(getattr(spec.settings, key)[0])))
    ]


def _not_runnable(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"can not be looked at: {error.strerror}"
    if not stat.S_ISREG(mode):
        return "is not a file"
    if not mode & 0o111:
        return f"may not be executed: chmod 755 {path}"
    return f"may be written by anybody: chmod o-w {path}" if mode & stat.S_IWOTH else ""


def outputs(
    _port: PortSettings | None, _open_port: OpenPort, specs: Sequence[OutputSpec], _sensors: Mapping[str, Sensor]
) -> Mapping[str, Output]:
    """All commands of a site."""
    from drivers.command.output import Command

    return {spec.id: Command(spec.settings) for spec in specs}


DRIVER = Driver(name="command", output=CommandOutput, outputs=outputs, check_outputs=check_outputs, lacks=lacks)
