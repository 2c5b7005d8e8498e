"""The programs of the world's box: outputs that run a command of the site file. No play runs one on this machine.

Each is done at once and always. What it has switched is off when the gateway dies, as a player is that systemd ends
with its service's group; a relay that a program has left on is not played.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from msgspec.structs import replace as changed

from edge.config.site import Output, Site
from edge.contract import OpenPort, OutputSpec, PortSettings, Sensor, Switched
from sim.world.nouns import Record


class _Program:
    """One output in place of the driver's."""

    hold_s: float | None = None
    readable = False

    def __init__(self, output: str, programs: Programs) -> None:
        self._output, self._programs = output, programs

    async def switch(self, on: bool, for_s: float, text: str = "") -> Switched:
        self._programs.set(self._output, on)
        return Switched(on)

    async def read(self) -> Switched:
        return Switched(None, "a command can not be asked")

    def health(self) -> Mapping[str, Any]:
        return {}


class Programs:
    """All of a site."""

    def __init__(self, site: Site, record: Record) -> None:
        self._record = record
        self._on: set[str] = set()
        record.switched |= {output.id: [] for output in site.outputs if _runs(output)}

    def instead(self, site: Site) -> Site:
        """The site with these programs in the place of real ones."""
        return changed(site, outputs=tuple(self._played(it) if _runs(it) else it for it in site.outputs))

    def fall(self) -> None:
        """The gateway is dead."""
        for output in sorted(self._on):
            self.set(output, False)

    def set(self, output: str, on: bool) -> None:
        if on == (output in self._on):
            return
        self._on ^= {output}
        at_s = asyncio.get_running_loop().time()
        self._record.switched[output].append((at_s, on))
        self._record.note(at_s, f"{output} is {'on' if on else 'off'}")

    def _played(self, output: Output) -> Output:
        def outputs(
            _port: PortSettings | None, _open: OpenPort, specs: Sequence[OutputSpec], _sensors: Mapping[str, Sensor]
        ) -> Mapping[str, _Program]:
            return {spec.id: _Program(spec.id, self) for spec in specs}

        return changed(output, driver=replace(output.driver, outputs=outputs))


def _runs(output: Output) -> bool:
    return hasattr(output.spec.settings, "run_on")
