"""The daemon in the foreground. May not import what only a screen needs: all that is here stays as long as it runs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
from pathlib import Path

from edge.cli import EXIT_REFUSED, EXIT_SITE_FILE
from edge.errors import SiteFileError
from edge.installed import entries, version

PORTS_GROUP = "fengsui.ports"  # the entry point that opens ports: edge itself imports no driver


def gateway(site_file: Path) -> int:
    """Runs the gateway until it is told to stop. Returns the exit code."""
    from edge.daemon import build
    from edge.last_good import built_or_last_good, load_or_last_good
    from edge.process import AlreadyRunning

    if not os.isatty(2):
        os.set_blocking(2, False)  # a log that nobody reads any more must not hold up the gateway
    try:
        loaded = load_or_last_good(site_file)
    except SiteFileError as error:
        return _stop(EXIT_SITE_FILE, f"{error}\nput that right, then: fengsui check {error.file}")
    ports = next(iter(entries(PORTS_GROUP).values()), None)
    if ports is None:
        return _stop(EXIT_REFUSED, f"nothing installed opens ports (entry point {PORTS_GROUP}): install fengsui again")
    open_port = ports.load()

    async def serve() -> None:
        daemon, used = built_or_last_good(
            site_file, loaded, lambda site: build(site, open_port, version=version("fengsui"))
        )
        used.keep()
        for sentence in used.said:
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
        return _stop(EXIT_REFUSED, str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _stop(0, "stopped")
    return 0


def _stop(code: int, message: str) -> int:
    with contextlib.suppress(OSError):  # nobody reads it: no reason for another exit code
        print(message, file=sys.stderr, flush=True)
    return code
