"""`fengsui run`: its help; the gateway itself is in gateway.py, which starts without this."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("site_file", type=click.Path(path_type=Path, readable=False))
def run(site_file: Path) -> None:
    """Run the gateway of SITE_FILE until it is told to stop."""
    from edge.cli.gateway import gateway

    sys.exit(gateway(site_file))
