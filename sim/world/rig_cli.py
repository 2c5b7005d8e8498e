"""`fengsui-sim rig SITE`: every instrument of a site file on a real port, in real time, with the weather behind them.

Hardware in the loop: the installed daemon runs on a copy of the site file whose ports are ours; with `--real PORT` one
wire is left to the real instrument, and the rest of the site is still there. Beidou terminals are simulated too. While
it runs it takes commands on standard input (sim/world/hands.py), each answered by one line.
"""

from __future__ import annotations

import asyncio
import os
import random
import shlex
import signal
import sys
import tempfile
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from edge.config import Site
from edge.config import load as load_site
from edge.contract import Point
from edge.errors import SiteFileError
from sim.beidou import cli as beidou
from sim.instrument import Source
from sim.models import models_of
from sim.world.bench import Bench, run
from sim.world.hands import Hands
from sim.world.nouns import Record, Trouble
from sim.world.scenario_site import with_key, with_ports
from sim.world.weather import Weather
from sim.world.wire import Wires

TERMINATED = 128 + signal.SIGTERM  # as a shell has it
SITE_CARD = 4_207_733
SOCKET_PATH_BYTES = 107  # sun_path of Linux, unix(7), without its end


@click.command("rig")
@click.argument("site_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--real", "real", multiple=True, metavar="PORT", help="Leave this port to the real instrument.")
@click.option("--seed", default=1, show_default=True, help="Of the weather, and of all chance.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="For the copy; default: a new one.")
@click.option("--stop-at-eof", is_flag=True, help="End when standard input ends.")
def command(site_file: Path, real: tuple[str, ...], seed: int, folder: Path | None, stop_at_eof: bool) -> None:
    """The instruments of a site on pseudo-terminals and TCP, in real time. Commands on standard input."""
    try:
        site = load_site(site_file.resolve())
    except SiteFileError as error:
        raise click.UsageError(str(error)) from error
    unknown = [port for port in real if port not in {it.id for it in site.ports}]
    if unknown:
        known = ", ".join(port.id for port in site.ports)
        raise click.UsageError(f"--real {unknown[0]}: the site has no such port; it has {known}")
    folder = (folder or Path(tempfile.mkdtemp(prefix="fengsui-rig-"))).resolve()
    if any(character.isspace() for character in str(folder)):
        raise click.UsageError(f"--folder {folder}: a port's path in a site file has no spaces: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    if len(os.fsencode(folder / "s")) > SOCKET_PATH_BYTES:
        raise click.UsageError(f"--folder {folder}: the path is too long for a Unix socket, 105 bytes at most")
    try:
        run(_serve(site, real, seed, folder, stop_at_eof))
    except KeyboardInterrupt:
        click.echo("")
    except asyncio.CancelledError:
        sys.exit(TERMINATED)


class WeatherNow:
    """A weather whose first day is today: it would else have to make up the months since the world began."""

    def __init__(self, weather: Weather, first_s: float) -> None:
        self._weather = weather
        self._first_s = first_s

    def source_of(self, point: Point) -> Source:
        source, first_s = self._weather.source_of(point), self._first_s
        return lambda at_s: source(at_s - first_s)

    def bend(self, point: str, now: list[Trouble], at_s: float) -> None:
        self._weather.bend(point, now, at_s - self._first_s)


def on_bench(site: Site, seed: int, knobs: Mapping[str, float], real: tuple[str, ...], folder: Path) -> Rigged:
    """All instruments but those on the ports `real`. With a running RealLoop."""
    weather = WeatherNow(Weather(seed, knobs, site.limits), asyncio.get_running_loop().time())
    models = {port: model for port, model in models_of(site, weather.source_of, seed).items() if port not in real}
    record = Record()
    wires = Wires(models, random.Random(f"{seed}/wires"), record)
    bench = Bench(site, wires, list(models), folder)
    mine = [device for device in site.devices if device.port in models]
    things = {
        "device": [device.id for device in mine],
        "point": [point.id for device in mine for point in device.points],
        "port": list(models),
    }
    return Rigged(bench, record, Hands(bench, weather, record, things), things)


class Rigged:
    """A bench, who changes it, and what it has shown."""

    def __init__(self, bench: Bench, record: Record, hands: Hands, things: Mapping[str, list[str]]) -> None:
        self.bench = bench
        self.record = record
        self.hands = hands
        self.things = things


async def _serve(site: Site, real: tuple[str, ...], seed: int, folder: Path, stop_at_eof: bool) -> None:
    rigged = on_bench(site, seed, {}, real, folder)
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(rigged.bench.close)
        opens = await rigged.bench.open()
        terminals = [link.port for link in site.links if link.port is not None and link.port not in real]
        for port in terminals:
            running = beidou.start("--terminal", f"site:{SITE_CARD}", "--terminal", "province:1595001,period=1")
            stack.callback(running.stop)
            opens[port] = f"serial:{running.paths['site']}"
        _announce(site, _copy(site, opens, folder), opens, real)
        await _until_failed(_commands(rigged.hands, stop_at_eof), rigged.bench)


async def _until_failed(commands: Coroutine[Any, Any, None], bench: Bench) -> None:
    """Until there are no more commands, or the bench has a fault: then it can not be told any more who is silent why.
    Raises ClickException."""
    parts = [asyncio.ensure_future(commands), asyncio.ensure_future(bench.failed.wait())]
    try:
        await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for part in parts:
            part.cancel()
    if bench.faults:
        raise click.ClickException(bench.faults[0].what)


def _copy(site: Site, opens: dict[str, str], folder: Path) -> Path:
    """The site file with our ports, and with a store, a socket and a key that need no rights."""
    text = with_ports(site.file.read_text("utf-8-sig"), opens)
    key = site.gateway.key
    if not key.is_file():
        key = folder / "gateway.key"
        key.write_text(random.SystemRandom().randbytes(32).hex() + "\n")
        key.chmod(0o600)
    values = (("gateway", "key", key), ("gateway", "socket", folder / "s"), ("store", "path", folder / "store"))
    for table, name, value in values:
        text = with_key(text, table, name, str(value))
    path = folder / "site.toml"
    path.write_text(text, "utf-8")
    load_site(path)
    return path


def _announce(site: Site, path: Path, opens: Mapping[str, str], real: tuple[str, ...]) -> None:
    for port in site.ports:
        left = "the real instrument's" if port.id in real else "nobody here can play it: left as it is"
        click.echo(f"{port.id}: {opens.get(port.id) or f'{port.open} ({left})'}")
    click.echo(f"ready; now run: fengsui run {shlex.quote(str(path))}")


async def _commands(hands: Hands, stop_at_eof: bool) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            text = line.decode("utf-8", "replace").strip()
            if text == "quit":
                return
            if text:
                click.echo(await hands.obey(text))
    finally:
        transport.close()
    if not stop_at_eof:
        await asyncio.Event().wait()


def began_s(loop: asyncio.AbstractEventLoop) -> float:
    """The instant, as a whole second, so that times in reports are easy to read."""
    return float(int(loop.time()) + 1)
