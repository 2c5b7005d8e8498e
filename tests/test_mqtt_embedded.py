"""Where Mosquitto is missing, amqtt stands in (MQTT 3.1.1): link, province and broker together still carry custody."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from edge.contract import Sent
from sim.broker import HOST, start_broker
from sim.ground import serve
from sim.province import Province
from tests.mqtt_running import make_settings, run, until
from tests.test_ground_province import GATEWAY, ROOT, Gateway

pytest.importorskip("amqtt", reason="NOT TESTED: amqtt is missing (pip install amqtt)")


def test_a_packet_goes_up_and_its_receipt_comes_down_over_the_embedded_broker() -> None:
    broker = start_broker("amqtt")
    assert (broker.name, broker.version, broker.host) == ("amqtt", "3.1.1", HOST)

    async def scenario() -> None:
        said: list[str] = []
        province = Province(":memory:", {GATEWAY: ROOT}.get, said.append, durable=False)
        serving = asyncio.create_task(serve(province, HOST, broker.port, broker.version, said.append))
        await until(lambda: any("listening" in line for line in said))
        gateway = Gateway()
        async with run(make_settings(port=broker.port, version=broker.version)) as near:
            assert await near.link.send(gateway.sheet_packet()) is Sent.SENT
            await until(lambda: len(near.received) == 1)
            assert gateway.receipt(near.received[0]).ranges == ((1, 1),)
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    try:
        asyncio.run(scenario())
    finally:
        broker.close()


def test_the_preferred_broker_is_the_one_that_is_there() -> None:
    started_s = time.monotonic()
    broker = start_broker()
    try:
        assert broker.name in ("mosquitto", "amqtt")
        assert (broker.name == "mosquitto") == (broker.version == "5")
        assert time.monotonic() - started_s < 20
    finally:
        broker.close()
    assert not broker.folder.exists()


def test_starting_a_running_broker_again_starts_no_second_one() -> None:
    broker = start_broker()
    process = broker._process
    with broker:
        assert broker._process is process
    assert process is not None
    assert process.poll() is not None
