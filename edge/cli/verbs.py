"""The verbs of `fengsui`. A verb's module is imported when the verb is typed, never before.

On a Pi every import is felt, so this file knows of the verbs only a line of help and where they live.
"""

from __future__ import annotations

from importlib import import_module
from typing import NoReturn

import click

from edge.cli import EXIT_SITE_FILE
from edge.errors import SiteFileError

# In the order of `fengsui --help`: verb -> (where it lives, what it is for).
VERBS = {
    "run": ("edge.cli.run:run", "Run the gateway of a site file (what the service does)"),
    "check": ("edge.cli.site:check", "Check a site file and list what would run"),
    "new": ("edge.cli.new:new", "Write a commented site file for one kind of site"),
    "sensors": ("edge.cli.sensors:sensors", "Sensor templates: list them, or explain one"),
    "schema": ("edge.cli.site:schema", "Print the JSON schema of site files, for editors"),
    "keygen": ("edge.cli.site:keygen", "Make the secret key shared with the province"),
    "status": ("edge.cli.ask:status", "How the running gateway is, on one page"),
    "points": ("edge.cli.ask:points", "Every point with its latest value"),
    "alarms": ("edge.cli.rules:alarms", "Alarms: now, history, and why"),
    "ack": ("edge.cli.aside:ack", "Say that you have seen an alarm"),
    "shelve": ("edge.cli.aside:shelve", "Put a limit that flaps aside for a while"),
    "unshelve": ("edge.cli.aside:unshelve", "End that before its time"),
    "rules": ("edge.cli.rules:rules", "Every rule in words, and what would trip it now"),
    "what-if": ("edge.cli.what_if:what_if", "A site's rules over its recorded data"),
    "outputs": ("edge.cli.outputs:outputs", "Every output: on or off, why, and what is wrong with it"),
    "drill": ("edge.cli.outputs:drill", "Try an output, or what a limit would set off"),
    "links": ("edge.cli.ask:links", "Every way out: up or down, and why"),
    "outbox": ("edge.cli.ask:outbox", "What is kept, sent, settled, and what was given up"),
    "watch": ("edge.cli.ask:watch", "Follow readings and alarms as they come"),
    "read": ("edge.cli.ask:read", "Ask one instrument now"),
    "send-test": ("edge.cli.send_test:send_test", "Try one link: a packet out, the province's receipt back"),
    "decode": ("edge.cli.explain:decode", "Say what a sealed packet or a line from a wire means"),
    "fit": ("edge.cli.fit:fit", "Learn from history how to pack a site's readings smaller"),
}


class Verbs(click.Group):
    """A group whose commands are imported one at a time, and which turns site file errors into exit code 3."""

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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS:
            ctx.fail(f"there is no command “{args[0]}”{_near(args[0])}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except SiteFileError as error:
            click.echo(f"{error}\nput that right, then: fengsui check {error.file}", err=True)
            ctx.exit(EXIT_SITE_FILE)


def _near(word: str) -> str:
    from difflib import get_close_matches  # only for a mistake

    near = get_close_matches(word, VERBS, n=1)
    return f"; did you mean “{near[0]}”?" if near else ""


json_option = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON value, for programs.")


def stop(code: int, message: str) -> NoReturn:
    """Ends the command with a message to the person (what happened, what to type) and an exit code."""
    click.echo(message, err=True)
    raise click.exceptions.Exit(code)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fengsui")
def fengsui() -> None:
    """Fengsui (烽燧), the field gateway: reads, judges, keeps and relays through cut networks and power."""
