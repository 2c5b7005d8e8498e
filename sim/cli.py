"""`fengsui-sim`: the world from the other side of each wire. A verb's module is imported when the verb is typed."""

from __future__ import annotations

from importlib import import_module

import click

VERBS = {
    "demo": ("sim.demo:command", "A tailings pond, guarded through a cut network and a killed daemon"),
    "play": ("sim.world.cli:play", "A scenario (sim/scenarios) in virtual time, or with --real in real time"),
    "world": ("sim.world.cli:world", "The real daemon in virtual time, through random misfortune from a seed"),
    "rig": ("sim.world.rig_cli:command", "The instruments of any site file on real ports, in real time"),
    "modbus": ("sim.modbus:command", "Modbus slaves that play recorded series, on a PTY or TCP, with faults"),
    "lines": ("sim.lines:command", "An instrument that prints lines, on a PTY, with faults"),
    "beidou": ("sim.beidou.cli:command", "Beidou terminals on PTYs and the satellite between them, with faults"),
    "ground": ("sim.ground:command", "The province: opens packets, stores readings, returns receipts"),
}


class Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """The world of a Fengsui gateway, simulated: instruments, links and the province."""


def main() -> None:
    """The console script."""
    group(prog_name="fengsui-sim")
