"""`fengsui-sim demo`: a tailings pond is guarded through a storm, a cut fibre and a killed gateway, in real time.

story.py    the acts, in order: where to begin reading
stage.py    what runs behind them: the processes of `sim.rig`, the world, the witness; waiting while showing
world.py    the water: a recorded storm and what comes of it        slaves.toml  pond.toml  series/
witness.py  the second book: what the gateway says it took, as it takes it
ledger.py   the account at the end, and its verdict
screen.py   lines on the terminal
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

import click

SOCKET_PATH_BYTES = 107  # sun_path of Linux, unix(7), without its end


@click.command()
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Run in this folder (empty or new) and leave site file, store, logs and the province's database there.",
)
def command(keep: Path | None) -> None:
    """A tailings pond, guarded through a cut fibre (by Beidou) and a killed gateway. Takes a minute and a half."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with contextlib.ExitStack() as stack:
            if keep is None:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fengsui-demo-")))
            else:
                folder = _usable(keep)
            sys.exit(play(folder, kept=keep is not None))
    except KeyboardInterrupt:
        click.echo("\ninterrupted: every process of the demonstration has been ended")
        sys.exit(130)


def play(folder: Path, *, pace: float = 1.0, kept: bool = False) -> int:
    """Plays the story in `folder`; 0 when all books agreed at the end, else 1. `pace` scales the story's pauses."""
    from sim.demo.story import tell

    return tell(folder, pace=pace, kept=kept)


def _usable(folder: Path) -> Path:
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"--keep {folder}: is not empty; name a new folder")
    if len(os.fsencode(folder / "s")) > SOCKET_PATH_BYTES:
        raise click.UsageError(f"--keep {folder}: the path is too long for a Unix socket, 105 bytes at most")
    return folder


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
