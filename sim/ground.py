"""`fengsui-sim ground`: the province on a broker and on a Beidou terminal. Hears every gateway, stores, sends receipts.

A thin shell: MQTT (by aiomqtt, not by our own driver), the terminal's serial line, the wall clock and the screen; what
is decided is decided in `province.py`, for short messages in `ground_beidou.py`. One province takes both in.
Packets that have piled up are stored in one commit, so a backlog does not make an alarm wait for a disk write of each
packet before it. A packet is taken from the broker before it is stored: one lost in between by a crash has no receipt,
and its gateway sends it again. Connects again for ever.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.beidou.tty import SPEEDS, Tty
from sim.ground_beidou import BeidouDesk, parse_card
from sim.province import KeyFolder, Province

if TYPE_CHECKING:
    import aiomqtt
    from paho.mqtt.properties import Properties

__all__ = ["KeyFolder", "Province", "command", "serve", "serve_beidou"]

CLIENT_ID = "fengsui-province"
UPLINK = "fengsui/+/up"
BATCH_BYTES = 32_768  # of one commit: some 0.2 s of decoding, which an alarm may have to wait
MOST_PENDING = 1_000  # aiomqtt warns of more publishes at once; the receipts of a batch go out together
RETRY_S = 1.0
RECEIPT_EXPIRY_S = 600  # later its gateway has sent again, and has a newer one: a link must not wake up to old receipts
NO_DELAY = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)  # else a receipt waits 40 ms for the broker's delayed ACK
BAUDS = tuple(str(baud) for baud in sorted(SPEEDS.values()))
SESSION_S = 86_400  # uplink packets the broker keeps while the province is away


async def serve(province: Province, host: str, port: int, version: str, say: Callable[[str], None]) -> None:
    """Serves until cancelled; a broker that is not there, or goes, is said once and tried again every second."""
    import aiomqtt

    was = ""
    while True:
        try:
            async with _client(host, port, version) as client:
                await client.subscribe(UPLINK, qos=1)
                say(f"listening on {host}:{port}, MQTT {version}")
                was = ""
                await _receive(client, province, _expiry() if version == "5" else None)
        except aiomqtt.MqttError as error:
            if str(error) != was:
                was = str(error)
                say(f"broker {host}:{port}: {error or 'lost'}; trying again every second")
            await asyncio.sleep(RETRY_S)


def _client(host: str, port: int, version: str) -> aiomqtt.Client:
    import aiomqtt
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    keep: dict[str, Any] = {"clean_session": False}
    if version == "5":
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_S
        keep = {"protocol": aiomqtt.ProtocolVersion.V5, "clean_start": False, "properties": properties}
    client = aiomqtt.Client(host, port, identifier=CLIENT_ID, socket_options=NO_DELAY, **keep)
    client.pending_calls_threshold = MOST_PENDING
    return client


def _expiry() -> Properties:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = RECEIPT_EXPIRY_S
    return properties


async def _receive(client: aiomqtt.Client, province: Province, properties: Properties | None) -> None:
    messages = client.messages
    async for first in messages:
        arrivals = [_arrival(first)]
        while len(messages) and sum(len(packet) for _, packet in arrivals) < BATCH_BYTES:
            arrivals.append(_arrival(await anext(messages)))
        answers = province.receive_batch(arrivals, _now_ms(), "mqtt")
        # Not a TaskGroup: a broker that goes in the middle must come out as MqttError, which `serve` expects.
        topics = [(f"fengsui/{gateway}/down", packet) for gateway, packet in answers]
        await asyncio.gather(*(client.publish(to, packet, qos=1, properties=properties) for to, packet in topics))


def _arrival(message: aiomqtt.Message) -> tuple[str, bytes]:
    payload = message.payload if isinstance(message.payload, bytes) else b""
    return message.topic.value.split("/")[1], payload


async def serve_beidou(desk: BeidouDesk, device: str, baud: int, say: Callable[[str], None]) -> None:
    """Serves the commanding card in the terminal on `device` until cancelled; a plug that is pulled is waited for."""

    from sim.beidou.shell import run_station
    from sim.beidou.station import Station

    async def open_line() -> Tty:
        return Tty(device, baud)

    say(f"listening on {device}, {baud} baud")
    await run_station(Station(desk, say), open_line, _now_ms, say)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@click.command("ground")
@click.option("--host", default="127.0.0.1", show_default=True, help="the broker")
@click.option("--port", default=1883, show_default=True, help="its TCP port")
@click.option("--mqtt", "version", type=click.Choice(["5", "3.1.1"]), default="5", show_default=True)
@click.option("--db", type=click.Path(dir_okay=False, path_type=Path), default=Path("province.db"), show_default=True)
@click.option(
    "--keys",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="folder with <gateway id>.key files, or one key file for every gateway",
)
@click.option("--quiet", is_flag=True, help="say only alarms")
@click.option("--beidou", "device", metavar="serial:DEVICE", help="the terminal with the commanding card")
@click.option("--beidou-baud", default="115200", show_default=True, type=click.Choice(BAUDS))
@click.option("--beidou-card", "cards", multiple=True, metavar="CARD=ID", help="a gateway's card; may be repeated")
@click.option("--no-mqtt", is_flag=True, help="no broker, only the terminal")
def command(
    host: str,
    port: int,
    version: str,
    db: Path,
    keys: Path,
    quiet: bool,
    device: str | None,
    beidou_baud: str,
    cards: tuple[str, ...],
    no_mqtt: bool,
) -> None:
    """The province: stores what gateways send into SQLite, and returns receipts."""
    line = _line(device, cards, no_mqtt)

    def say(line: str) -> None:
        if not quiet or ": ALARM " in line:
            click.echo(f"{datetime.now(UTC).strftime('%H:%M:%S.%f')[:-3]} {line}")

    province = Province(db, KeyFolder(keys), say)
    sides: list[Coroutine[Any, Any, None]] = []
    if not no_mqtt:
        sides.append(serve(province, host, port, version, say))
    if line is not None:
        desk = BeidouDesk(province, line[1], say)
        sides.append(serve_beidou(desk, line[0], int(beidou_baud), say))
    try:
        asyncio.run(_together(sides))
    except KeyboardInterrupt:
        click.echo("")
    finally:
        province.close()


async def _together(sides: list[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for side in sides:
            group.create_task(side)


def _line(device: str | None, cards: tuple[str, ...], no_mqtt: bool) -> tuple[str, dict[int, str]] | None:
    """The terminal's device and whose cards there are. Raises UsageError for what does not go together."""
    if device is None:
        if no_mqtt or cards:
            raise click.UsageError("--no-mqtt and --beidou-card need --beidou serial:DEVICE")
        return None
    kind, _, path = device.partition(":")
    if kind != "serial" or not path:
        raise click.UsageError(f"--beidou {device}: serial:/dev/... is needed")
    try:
        return path, dict(parse_card(card) for card in cards)
    except ValueError as error:
        raise click.UsageError(f"--beidou-card {error}") from error


if __name__ == "__main__":
    command()
