"""Whatever raises or hangs in a play has a verdict: the daemon's fault as a promise that is broken, ours as ours."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest

from edge.daemon import Daemon
from edge.keeper import Keeper
from sim.model_modbus import ModbusModel
from sim.world import scenario, world
from sim.world.blame import SIMULATOR, STARTS
from sim.world.box import BOUNDED, Box
from sim.world.fates import Fates
from sim.world.judge import Watch
from sim.world.nouns import Broken, Story, Trouble
from sim.world.stage import play_in_memory
from sim.world.wire import Wires

Patch = pytest.MonkeyPatch


@lru_cache(1)
def site() -> str:
    return scenario.load(scenario.FOLDER / "quick.toml").story.site


def play(*troubles: Trouble, lasts_s: float = 130.0) -> tuple[Broken, ...]:
    """What is broken in a story of these troubles."""
    return play_in_memory(Story("s", site(), 1, lasts_s, troubles)).outcome.broken


async def for_ever(*_: object) -> None:
    await asyncio.Event().wait()


async def deaf(*_: object) -> None:
    """Ends by no cancellation."""
    while True:
        try:
            await asyncio.sleep(1.0)
        except asyncio.CancelledError:
            continue


def raises(error: BaseException) -> Callable[..., Any]:
    def fails(*_: object, **__: object) -> None:
        raise error

    return fails


def test_nothing_is_broken_without_a_fault() -> None:
    assert play(Trouble("power.stop", 30.0, 1.0), Trouble("power.kill", 60.0, 1.0)) == ()


def test_the_world_never_asks_this_machine_for_its_counters(monkeypatch: Patch) -> None:
    monkeypatch.setattr("edge.wear._text", raises(ValueError("a counter of this machine was read")))
    assert play() == ()


def test_a_daemon_that_waits_for_nothing_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Keeper, "start", for_ever)
    found = play()
    assert [(it.promise, round(it.at_s)) for it in found if "waits for nothing" in it.what] == [(STARTS, 60)]
    assert "what began at 0.0 s waits for nothing: no timer of its own is armed" in str(found)


def test_it_is_looked_for_in_each_life(monkeypatch: Patch) -> None:
    start, lives = Keeper.start, []

    async def second_hangs(self: Keeper) -> None:
        lives.append(1)
        await (for_ever() if len(lives) == 2 else start(self))

    monkeypatch.setattr(Keeper, "start", second_hangs)
    found = play(Trouble("power.kill", 20.0, 1.0))
    assert "what began at 21.0 s waits for nothing" in str(found)


def test_who_waits_for_a_card_that_hangs_is_excused(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Keeper, "start", for_ever)
    assert "waits for nothing" not in str(play(Trouble("disk.hang", 0.0, 125.0)))


@pytest.mark.parametrize(
    ("kind", "life", "began_s"), [("power.stop", 1, 0), ("power.stop", 2, 21), ("power.kill", 2, 21)]
)
def test_who_hangs_before_it_knows_of_sigterm_dies_of_it(
    kind: str, life: int, began_s: int, monkeypatch: Patch
) -> None:
    """Also in a life after one that did know."""
    start, lives = Keeper.start, []

    async def hangs(self: Keeper) -> None:
        lives.append(asyncio.get_running_loop().time())
        await (for_ever() if len(lives) == life else start(self))

    monkeypatch.setattr(Keeper, "start", hangs)
    found = play(Trouble(kind, 20.0, 1.0), Trouble("power.stop", 40.0, 1.0))
    assert [it.what for it in found if it.promise == STARTS][:1] == [
        f"started at {began_s}.0 s, no instrument was asked by {began_s + 10}.0 s"
    ]
    assert SIMULATOR not in {it.promise for it in found}
    assert [round(at_s) for at_s in lives] == [0, 21, 41]


def turns(pause_s: float) -> Callable[[object], Any]:
    async def for_nothing(_self: object) -> None:
        while True:  # noqa: ASYNC110 just what is to be found
            await asyncio.sleep(pause_s)

    return for_nothing


@pytest.mark.parametrize("pause_s", [0.0, 0.001])
@pytest.mark.parametrize("at_s", [0.001, 100.0])
def test_a_daemon_that_turns_for_ever_is_told(pause_s: float, at_s: float, monkeypatch: Patch) -> None:
    """Also while it is being stopped; and the play gets on."""
    monkeypatch.setattr(Daemon, "_tick", turns(pause_s))
    found = [it for it in play(Trouble("power.stop", at_s, 1.0)) if it.promise == STARTS]
    assert found[0].what.startswith("it turns and turns, and does nothing else: ")
    assert "for_nothing" in found[0].what
    assert found[0].at_s < 61.0


def test_a_simulator_that_turns_for_ever_is_no_fault_of_the_gateway(monkeypatch: Patch) -> None:
    monkeypatch.setattr("sim.world.host.Host.run", turns(0.0))
    (broken,) = play()
    assert broken.promise == SIMULATOR
    assert "the world turns and turns, and does nothing else:" in broken.what
    assert "for_nothing" in broken.what


def test_tasks_that_do_not_end_are_told(monkeypatch: Patch) -> None:
    tasks: list[asyncio.Task[None]] = []

    def leaks(*_: object) -> None:
        tasks.append(asyncio.get_running_loop().create_task(asyncio.sleep(1e6)))

    monkeypatch.setattr("edge.limits.Limits.tick", leaky(leaks))
    found = [it for it in play(lasts_s=400.0) if it.promise == BOUNDED]
    assert "tasks that do not end" in found[0].what


def leaky(leaks: Callable[[], None]) -> Callable[..., Any]:
    def tick(*_: object) -> list[object]:
        leaks()
        return []

    return tick


def test_who_does_not_stop_when_told_to_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr("edge.daemon._cancel", lambda *_: None)

    def told(*troubles: Trouble) -> list[tuple[str, int]]:
        return [(it.promise, round(it.at_s)) for it in play(*troubles) if "SIGTERM" in it.what]

    assert told(Trouble("power.stop", 20.0, 1.0)) == [(STARTS, 110)]
    at_the_end = [(STARTS, 220)]
    assert told(Trouble("power.stop", 20.0, 1.0), Trouble("disk.hang", 19.0, 100.0)) == at_the_end


@pytest.mark.parametrize("kind", ["power.stop", "power.kill", "power.cut"])
def test_what_can_not_be_ended_is_told(kind: str, monkeypatch: Patch) -> None:
    monkeypatch.setattr(Daemon, "_tick", deaf)
    (broken,) = (it for it in play(Trouble(kind, 30.0, 1.0)) if "can not be ended" in it.what)
    assert broken.promise == STARTS
    assert "parts of it can not be ended, and go on after its death:" in broken.what
    assert "_supervise" in broken.what


def test_a_daemon_that_raises_is_named_with_its_line(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Daemon, "_restore", raises(ValueError("no such thing")))
    (broken, *_) = play()
    assert broken.promise == STARTS
    assert "the daemon ended by itself: ValueError: no such thing (edge/daemon.py, line" in broken.what


def test_a_daemon_that_cannot_be_built_is_told(monkeypatch: Patch) -> None:
    monkeypatch.setattr("sim.world.box.build", raises(ValueError("no such thing")))
    assert "the daemon ended by itself: ValueError: no such thing" in str(play())


def test_a_daemon_that_leaves_the_loop_is_told(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Daemon, "_tick", lambda _self: sys.exit(3))
    (broken,) = play()
    assert broken.promise == STARTS
    assert "SystemExit: 3" in broken.what


def test_a_part_of_the_daemon_that_fails_is_told(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Keeper, "run", raises(KeyError("epoch")))
    (broken, *_) = play()
    assert broken.promise == STARTS
    assert "failed, a fault of ours: KeyError: 'epoch'" in broken.what


@pytest.mark.parametrize(
    ("owner", "name"),
    [(ModbusModel, "_answer"), (Wires, "_arrive"), (Watch, "check"), (Box, "cut"), (Fates, "_settle")],
)
def test_what_raises_in_the_simulator_is_no_fault_of_the_gateway(owner: Any, name: str, monkeypatch: Patch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("byte must be in range(0, 256)")

    fails.__code__ = fails.__code__.replace(co_filename=world.__file__)  # as if it stood there
    monkeypatch.setattr(owner, name, fails)
    found = play(Trouble("power.cut", 30.0, 1.0), Trouble("device.crc", 40.0, 10.0, "piezo-1", 0.5))
    mine = [it for it in found if it.promise == SIMULATOR]
    assert "a fault of the simulator, not of the gateway" in mine[0].what
    assert "ValueError: byte must be in range(0, 256)" in mine[0].what
    assert "(sim/world/world.py, line" in mine[0].what
    assert not [it for it in found if it.promise == STARTS and "ValueError" in it.what]


def test_a_part_of_the_world_that_ends_is_told(monkeypatch: Patch) -> None:
    async def at_once(*_: object) -> None:
        return

    monkeypatch.setattr("sim.world.host.Host.run", at_once)
    assert "at_once has ended" in str([it for it in play() if it.promise == SIMULATOR])


def test_the_trace_says_where_it_came_from(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Watch, "check", raises(ZeroDivisionError("division by zero")))
    story = replace(Story("s", site(), 1, 30.0))
    lines = play_in_memory(story, keep_lines=True).outcome.lines
    assert "Traceback (most recent call last):" in lines
    assert "ZeroDivisionError: division by zero" in lines
