"""The Beidou link and its slot on the disk: bad disks, kills, restarts, memories that make no sense."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from drivers.beidou.slots import dump, load
from drivers.beidou.wire import Dialect, Feedback, Outcome, build_report
from edge.contract import Sent
from sim.virtual import run
from tests.beidou_rig import PACKET, now, site


def test_a_disk_that_takes_nothing_holds_up_no_packet() -> None:
    async def story() -> None:
        here = site()
        here.memory.broken = True
        here.start()
        await here.up()
        assert await here.send() is Sent.SENT
        assert await here.send() is Sent.SENT
        assert here.link.health()["unsaved"] >= 2
        assert here.terminal.over_rate == 0
        await here.stop()

    run(story())


def test_a_slot_that_could_not_be_saved_is_saved_as_soon_as_the_disk_takes_it() -> None:
    """A bad disk takes some writes and others not; the process is killed in the middle of the period."""

    async def story() -> None:
        here = site()
        here.start()
        await here.ready()
        here.memory.broken = True
        assert await here.send() is Sent.SENT
        here.memory.broken = False
        await asyncio.sleep(15.0)
        await here.stop()
        here.start()
        await here.up()
        assert await here.send() is Sent.SENT
        assert here.terminal.over_rate == 0
        await here.stop()

    run(story())


def test_a_start_that_cannot_know_of_the_last_request_sends_at_once_and_is_told_the_wait() -> None:
    """No save worked, so what is saved is the slot before: an alarm is worth a refused request, and the refusal names
    the wait, which is shorter than the reserve that a start would have to keep."""

    async def story() -> None:
        here = site()
        here.start()
        await here.ready()
        await here.send()
        await here.ready()
        here.memory.broken = True
        began_s = now()
        assert await here.send() is Sent.SENT
        await asyncio.sleep(15.0)
        await here.stop()
        here.start()
        await here.up()
        assert here.state.ready_s <= now()
        assert await here.link.send(PACKET) is Sent.NOT_SENT
        assert here.terminal.over_rate == 1
        assert await here.send() is Sent.SENT
        assert now() - began_s < 75.0
        assert here.terminal.over_rate == 1
        await here.stop()

    run(story())


def test_the_slot_is_on_the_disk_before_the_request_is_written() -> None:
    async def story() -> None:
        here = site()
        here.start()
        await here.up()
        await here.ready()
        here.memory.delay_s = 1.5
        saves = here.memory.saves
        sending = asyncio.create_task(here.link.send(PACKET))
        await asyncio.sleep(1.4)
        assert (here.memory.saves, here.terminal.requests) == (saves, [])
        await asyncio.sleep(0.2)
        assert here.memory.saves == saves + 1
        assert len(here.terminal.requests) == 1
        assert await sending is Sent.SENT
        await here.stop()

    run(story())


def test_a_packet_waits_for_a_save_that_is_under_way() -> None:
    async def story() -> None:
        here = site()
        here.start()
        await here.up()
        await here.ready()
        here.memory.delay_s = 1.5
        here.link._memory.home = 1  # something that has to be remembered
        saves = here.memory.saves
        await asyncio.sleep(1.2)
        assert await here.link.send(PACKET) is Sent.SENT
        assert here.memory.saves == saves + 2
        assert here.link.health()["unsaved"] == 0
        await here.stop()

    run(story())


def test_a_feedback_that_comes_while_the_disk_is_busy_moves_the_slot() -> None:
    """Another host's request, or one of an earlier process, has just used the slot: ours is not written."""

    async def story() -> None:
        here = site()
        here.start()
        await here.up()
        await here.ready()
        here.memory.delay_s = 1.5
        sending = asyncio.create_task(here.link.send(PACKET))
        await asyncio.sleep(0.5)
        here.terminal._say(build_report(Feedback(Dialect.TEXT21, "TXA", Outcome.SENT)), now())
        here.touch()
        assert await sending is Sent.NOT_SENT
        assert here.terminal.requests == []
        assert here.state.ready_s > now() + 55.0
        await here.stop()

    run(story())


def test_a_restart_in_the_middle_of_a_request_waits_for_its_slot() -> None:
    async def story() -> None:
        here = site()
        here.start()
        await here.up()
        await here.ready()
        sending = asyncio.create_task(here.link.send(PACKET))
        await asyncio.sleep(0.2)
        await here.stop()
        assert await sending is Sent.UNKNOWN
        here.boot += 1
        here.start()
        assert await here.send() is Sent.SENT
        assert here.terminal.over_rate == 0
        assert len(here.terminal.radiated) == 2
        await here.stop()

    run(story())


def test_a_restart_between_two_slots_costs_nothing() -> None:
    async def story() -> None:
        here = site()
        here.start()
        await here.up()
        assert await here.send() is Sent.SENT
        ready_s = here.state.ready_s
        await asyncio.sleep(5.0)
        await here.stop()
        await asyncio.sleep(5.0)
        here.start()
        await here.up()
        assert here.state.ready_s == pytest.approx(ready_s, abs=1.0)
        await here.stop()

    run(story())


@pytest.mark.parametrize("rubbish", [b"", b"\0" * 100, b"{}", b'{"boot":1', b"\xff\xfe" * 20, b"[" * 4000])
def test_a_memory_that_makes_no_sense_is_none(rubbish: bytes) -> None:
    async def story() -> None:
        here = site()
        here.memory.data = rubbish
        here.start()
        await here.up()
        assert here.state.ready_s > now() + 55.0, "the card may have been used just before"
        assert await here.send() is Sent.SENT
        await here.stop()

    run(story())


def test_a_memory_that_names_a_far_slot_holds_no_alarm() -> None:
    async def story() -> None:
        here = site()
        here.start()
        await here.up()
        assert await here.send() is Sent.SENT
        await asyncio.sleep(5.0)
        await here.stop()
        saved = load(here.memory.data)
        assert saved is not None
        here.memory.data = dump(msgspec.structs.replace(saved, next_s=1e9, reserve_s=1e9, boot=99))
        here.start()
        await here.up()
        assert here.state.ready_s <= now() + 77.0
        assert await here.send() is Sent.SENT
        await here.stop()

    run(story())
