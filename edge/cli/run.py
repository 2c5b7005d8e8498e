"""`fengsui run`: the daemon in the foreground; what the systemd service calls."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import click

from edge.cli import EXIT_REFUSED, stop

PORTS_GROUP = "fengsui.ports"  # the entry point that opens ports: edge itself imports no driver


@click.command()
@click.argument("site_file", type=click.Path(path_type=Path, readable=False))
def run(site_file: Path) -> None:
    """Run the gateway of SITE_FILE until it is told to stop."""
    from importlib.metadata import entry_points, version

    from edge.daemon import build
    from edge.last_good import load_or_last_good
    from edge.process import AlreadyRunning

    if not os.isatty(2):
        os.set_blocking(2, False)  # a log that nobody reads any more must not hold up the gateway
    site, said = load_or_last_good(site_file)
    ports = next(iter(entry_points(group=PORTS_GROUP)), None)
    if ports is None:
        stop(EXIT_REFUSED, f"nothing installed opens ports (entry point {PORTS_GROUP}): install fengsui again")
    open_port = ports.load()

    async def serve() -> None:
        daemon = build(site, open_port, version=version("fengsui"))
        for sentence in said:
            daemon.say("site file", sentence)
        # What is alive now stays alive: spares the collector from walking it again and again.
        gc.collect()
        gc.freeze()
        await daemon.run()
        if daemon.keeper.hangs:
            os._exit(0)  # a thread that hangs on a dead disk would keep the process, and the service, from ending

    try:
        asyncio.run(serve())
    except AlreadyRunning as error:
        stop(EXIT_REFUSED, str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("stopped", err=True)
