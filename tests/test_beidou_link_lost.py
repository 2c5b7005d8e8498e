"""The Beidou link whose terminal comes and goes: silent, reset, unplugged."""

from __future__ import annotations

import asyncio

from drivers.beidou.wire import Dialect
from edge.contract import Sent
from sim.virtual import run
from tests.beidou_rig import PACKET, each_dialect, now, site


@each_dialect
def test_a_silent_terminal_is_lost_within_half_a_minute_and_found_again(dialect: Dialect) -> None:
    async def story() -> None:
        here = site(dialect)
        here.start()
        await here.up()
        here.terminal.muted = True
        muted_s = now()
        await here.until(lambda: here.lost)
        assert now() - muted_s < 40.0
        assert "said nothing" in here.lost[0]
        assert here.state.up is False
        here.terminal.muted = False
        await here.until(lambda: here.state.up is True, 90.0)
        await here.stop()

    run(story())


@each_dialect
def test_a_reset_terminal_is_asked_for_its_reports_again(dialect: Dialect) -> None:
    async def story() -> None:
        here = site(dialect)
        here.start()
        await here.up()
        here.terminal.reset(now())
        here.touch()
        await asyncio.sleep(60.0)
        assert here.lost == []
        here.terminal.sky.shaded = True
        await here.until(lambda: here.state.up is False, 25.0)  # its beams are reported
        await here.stop()

    run(story())


def test_a_pulled_plug_leaves_the_packet_unknown() -> None:
    async def story() -> None:
        here = site()
        here.terminal.trouble.no_feedback = 1.0
        here.start()
        await here.up()
        await here.ready()
        sending = asyncio.create_task(here.link.send(PACKET))
        await asyncio.sleep(5.0)
        here.plugs.unplug("bd")
        assert await sending is Sent.UNKNOWN
        await here.until(lambda: here.lost)
        assert "unplugged" in here.lost[0]
        here.plugs.plug("bd")
        await here.until(lambda: here.state.up is True, 30.0)
        assert await here.send() is Sent.UNKNOWN
        assert here.terminal.over_rate == 0
        await here.stop()

    run(story())


def test_a_port_that_does_not_exist_is_a_lost_link() -> None:
    async def story() -> None:
        here = site()
        here.plugs.unplug("bd")
        here.start()
        await here.until(lambda: len(here.lost) >= 2)
        assert "does not exist" in here.lost[0]
        await here.stop()

    run(story())
