"""A link being run by a test, and the far side of its broker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiomqtt
import msgspec
import pytest

from drivers.mqtt import MqttLink
from drivers.mqtt.link import PacketsOverMqtt
from edge.contract import Link, LinkState
from edge.errors import LinkLost
from sim.broker import HOST, Broker


def make_settings(**keys: Any) -> MqttLink:
    return msgspec.convert({"host": HOST} | keys, MqttLink, dec_hook=lambda kind, value: kind(value))


def settings_for(broker: Broker, **keys: Any) -> MqttLink:
    return make_settings(**({"port": broker.port} | keys))


@dataclass
class Running:
    """A link being run, and what came of it."""

    link: Link
    task: asyncio.Task[None]
    received: list[bytes] = field(default_factory=list)
    states: list[LinkState] = field(default_factory=list)

    async def lost(self, timeout_s: float = 10.0) -> str:
        with pytest.raises(LinkLost) as caught:
            await asyncio.wait_for(asyncio.shield(self.task), timeout_s)
        assert self.link.state().up is False
        assert self.link.state().why == caught.value.why
        return caught.value.why


@contextlib.asynccontextmanager
async def run(settings: MqttLink, *, wait_up: bool = True) -> AsyncIterator[Running]:
    link = PacketsOverMqtt("fibre", "gw-1", settings)
    received: list[bytes] = []
    states: list[LinkState] = []
    changed = asyncio.Event()

    def note() -> None:
        states.append(link.state())
        changed.set()

    task = asyncio.create_task(link.run(received.append, note))
    try:
        async with asyncio.timeout(10):
            while wait_up and link.state().up is not True and not task.done():
                changed.clear()
                await asyncio.wait({asyncio.create_task(changed.wait()), task}, return_when=asyncio.FIRST_COMPLETED)
        yield Running(link, task, received, states)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, LinkLost):
            await task


async def until(condition: Any, timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def province(broker: Broker) -> AsyncIterator[aiomqtt.Client]:
    """The far side, by a client that is not ours."""
    async with aiomqtt.Client(HOST, broker.port) as client:
        await client.subscribe("fengsui/+/up", qos=1)
        yield client
