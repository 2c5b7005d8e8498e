"""Outputs over a restart of the gateway, in virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.modbus_site import run_virtual
from tests.outputs_site import Rig, action, output


def test_after_a_restart_the_newer_of_two_alarms_sounds_on(tmp_path: Path) -> None:
    wail = action("wail", "high", 'output = "siren"\nlevel = "yellow"\nmax_on = "60s"')
    both = output("siren", 0) + wail.replace('["high"]', '["high", "gas-high"]')

    async def alarms(rig: Rig) -> None:
        for gas in (2, 0):  # the store has it as its first then, and reads the newer alarm first
            rig.set(1, gas)
            await asyncio.sleep(5)
        rig.set(0, 6)
        await asyncio.sleep(100)
        assert not rig.on()
        rig.set(1, 2)
        await asyncio.sleep(10)
        assert rig.on()

    async def again(rig: Rig) -> None:
        assert rig.on()
        await asyncio.sleep(40)
        assert rig.on()
        await asyncio.sleep(10)
        assert not rig.on()

    first, second = Rig(tmp_path, both), Rig(tmp_path, both)
    run_virtual(first.play(alarms))
    second.later_ms = 125_000
    second.set(0, 6)
    second.set(1, 2)
    run_virtual(second.play(again))
