"""`python -m tests.bench`: measures the gateway on this machine and prints every figure beside its target.

Progress goes to standard error, the table to standard output. The exit code is 0 whatever was measured: machines
differ, and the table says FALLS SHORT where a target is missed. Nothing outside build/ is changed.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Sequence

from tests.bench.figure import Figure, table
from tests.bench.scratch import say

PARTS = {
    "steady": "CPU, memory, uplink and disk bytes, 75 s",
    "alarm": "from a change to the alarm at the province, 60 s",
    "output": "from a change to the relay that switches, 130 s",
    "start": "cold start, 30 s",
    "bus": "a serial bus at 9600 baud, 140 s",
    "coding": "coding of real series, 20 s",
    "drain": "a link that is back, 40 s",
    "kept": "the store: a month in the dark, intake, a million entries, disk bytes, 180 s",
    "judge": "limits: cost a reading, memory of 500 rules, 40 s",
    "slopes": "limits: what a wild reading does to a rate, 10 s",
    "beidou": "days by one civil card, in virtual time, 120 s",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=[*PARTS, "peers"], help="measure one part")
    parser.add_argument("--peers", action="store_true", help="compare with other gateways, side by side")
    chosen = parser.parse_args(arguments)
    parts = ["peers"] if chosen.peers else [chosen.only] if chosen.only else list(PARTS)
    figures: list[Figure] = []
    for name in parts:
        say(f"{name}: {PARTS.get(name, 'other gateways')}")
        began_s = time.monotonic()
        figures += _measure(name)
        say(f"{name}: took {time.monotonic() - began_s:.0f} s")
    print(table(figures))


def _measure(name: str) -> list[Figure]:
    found: list[Figure] = []
    for figure in importlib.import_module(f"tests.bench.{name}").run():
        say(f"  {figure.what}: {figure.measured} {figure.verdict}")
        found.append(figure)
    return found


if __name__ == "__main__":
    main()
