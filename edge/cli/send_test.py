"""`fengsui send-test`: one packet out by one link, and the province's receipt back. Shows each step as it comes.

The packet holds nothing and is counted nowhere; on a link with slots it costs one. Exit 0: the receipt came; 1: it did
not, or nothing was sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edge.cli import EXIT_FAILED, EXIT_NO_DAEMON, EXIT_REFUSED
from edge.cli.ask import socket_option
from edge.cli.show import printable, span
from edge.cli.verbs import json_option, stop
from edge.control import TEST_WAIT_LEAST_S, TEST_WAIT_MOST_S, NoDaemon, Refused, ask

WAIT = "5min"  # a slot of ours, one of the province's card, and time for one who waits for a beam
OUTCOMES = {
    "sent": "sent: it has left, now the province's receipt must come",
    "not sent": "not sent",
    "unknown": "the link gave no answer; the packet may have left",
}


def _wait_s(_ctx: click.Context, _param: click.Parameter, text: str) -> float:
    from edge.config.units import duration_ms, show_ms  # brings in the site file, which --help need not wait for

    try:
        wait_s = duration_ms(text) / 1000
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if not TEST_WAIT_LEAST_S <= wait_s <= TEST_WAIT_MOST_S:
        least, most = show_ms(round(TEST_WAIT_LEAST_S * 1000)), show_ms(round(TEST_WAIT_MOST_S * 1000))
        raise click.BadParameter(f"“{text}”; allowed: {least} to {most}")
    return wait_s


@click.command("send-test")
@click.option("--link", required=True, metavar="LINK", help="The link's id in the site file (fengsui links).")
@click.option(
    "--wait",
    "wait_s",
    default=WAIT,
    show_default=True,
    callback=_wait_s,
    help="At most, the wait for the slot included.",
)
@socket_option
@json_option
def send_test(link: str, wait_s: float, socket_path: Path, as_json: bool) -> None:
    """Send a packet by one LINK that only asks for a receipt; say each step.

    With --json one object a line, as each step comes.
    """
    left = False
    try:
        # Until it is sent the daemon is silent for as long as the link's slot takes.
        for step in ask(socket_path, {"ask": "send-test", "link": link, "wait_s": wait_s}, patience_s=None):
            left = left or step["step"] == "sent"
            click.echo(json.dumps(step, ensure_ascii=False) if as_json else printable(_words(step, link, left)))
            if step["step"] == "receipt":
                return
            if step["step"] == "no receipt" or step.get("outcome") == "not sent":
                raise click.exceptions.Exit(EXIT_FAILED)
    except NoDaemon as error:
        stop(EXIT_NO_DAEMON, str(error))
    except Refused as error:
        stop(EXIT_REFUSED, str(error))
    except KeyboardInterrupt:
        stop(EXIT_FAILED, "\nnot waited for to the end; the packet may still go out")
    stop(EXIT_NO_DAEMON, "the daemon has hung up before the test was over: it was stopped. Ask: fengsui status")


def _words(step: Mapping[str, Any], link: str, left: bool) -> str:
    """One line for one step; what is not known here is shown as it came. `left`: the packet has left by now."""
    why = f": {step['why']}" if step.get("why") else ""
    match step["step"]:
        case "waiting":
            ready_in_s = step.get("ready_in_s")
            turn = f"{span(ready_in_s)} for the next slot of {link}" if ready_in_s else f"for {link} to take it"
            return f"waiting {turn}{why}"
        case "handed over":
            return f"handed over to {link}: {step['bytes']} bytes"
        case "sent":
            outcome = step["outcome"]
            return f"{OUTCOMES.get(outcome, outcome)}{'' if outcome == 'sent' else why}"
        case "receipt":
            return f"receipt after {span(step['after_s'])}: {link} reaches the province and back"
        case "no receipt" if not left:
            return f"not sent in {span(step['after_s'])}: {link} did not take it. Why: fengsui links"
        case "no receipt":
            return (
                f"no receipt in {span(step['after_s'])}. One lost message is nothing strange: try once more, then "
                "ask the province whether it hears this gateway (fengsui links shows its id, card and last receipt)"
            )
    return json.dumps(step, ensure_ascii=False)
