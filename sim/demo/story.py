"""The acts of the demonstration, in order. What is shown in between is `Stage`'s; what the water does, `World`'s."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import click

from edge.contract import Kind
from edge.errors import FengsuiError
from sim.broker import BrokerFailed, BrokerMissing
from sim.demo.ledger import FIBRE, collect, verdict
from sim.demo.stage import BEIDOU_PATIENCE_S, CARD_BYTES, GATEWAY, NotSoFar, Stage

BEFORE_STORM_HOURS = 9.0  # of the record; what the water does at each hour is fixed: see Pond
POND_ORANGE_HOURS = 23.5
POND_RED_HOURS = 26.0  # the pond is red by then, the dam has not noticed
DARK_HOURS = 27.2
PORE_RED_HOURS = 34.0
END_HOURS = 48.0
DRAINED_READINGS = 60  # what is left when the backlog is gone: the readings of the last seconds
SETTLE_S = 2.5  # two rounds with still water: no alarm is raised in the instant the gateway is told to end
LOG_LINES = 8
WEATHER_UNIT = 4
RED_BY_BEIDOU = ("pond-level-high",)
RED_WAITS = ("pore-2-high",)


def tell(folder: Path, *, pace: float, kept: bool) -> int:
    """The whole story; 0 when the account balanced, else 1. Ends every process it started."""
    try:
        with Stage(folder, pace) as stage:
            _opening(stage)
            for act in ACTS:
                act(stage)
            return _account(stage, kept)
    except (BrokerMissing, BrokerFailed) as error:
        click.echo(f"no broker: {error}")
    except (NotSoFar, FengsuiError, RuntimeError, TimeoutError) as error:
        click.echo(click.style(f"\nthe story broke off: {error}", fg="red", bold=True))
        for name in ("gateway", "province"):
            _show_log(folder / f"{name}.log")
    return 1


def _opening(stage: Stage) -> None:
    broker = {"mosquitto": "Mosquitto", "amqtt": "amqtt, in Python (mosquitto is not installed)"}[stage.broker.name]
    stage.screen.title(
        [
            click.style("Fengsui 烽燧 · a tailings pond, guarded   尾矿库值守演示", bold=True),
            "Five instruments on one RS-485 wire of 9600 baud (a pseudo-terminal with a wire's timing) play recorded",
            "series, an hour of the record each second; the storm is a recorded one, three times as heavy. The gateway",
            "is the real one, reading each second. The province opens, checks and stores what comes, and signs for it.",
            "Ways out: fibre, and Beidou short messages by a (simulated) BDS-3 terminal. It has a card of "
            f"{stage.card_period_s:g} s; a civil one",
            "has 60 s. The province listens at the broker, and has a terminal with a commanding card of its own.",
            f"MQTT {stage.broker.version} broker: {broker}",
            f"meanwhile, in another terminal:  {_fengsui()} status --socket {stage.rig.socket}",
        ]
    )


def _morning(stage: Stage) -> None:
    stage.screen.act(
        "A quiet morning", "风平浪静", "The gateway starts, asks its instruments, and the first readings travel."
    )
    stage.go(0.8, BEFORE_STORM_HOURS)
    stage.rig.start_gateway()
    stage.until("the gateway answers", lambda: stage.rig.asked("status"))
    stage.screen.line("gateway", "runs, 13 points of 5 instruments, 1 of the Beidou terminal, 6 limits, a siren")
    stage.until("readings at the province", lambda: stage.rig.one("SELECT COUNT(*) FROM readings"))
    size = stage.rig.one("SELECT SUM(bytes) FROM packets")
    stage.screen.line(
        "province", f"the first readings are here, each packet sealed ({size} bytes, with the site's description)"
    )
    stage.dwell(5)


def _cable(stage: Stage) -> None:
    stage.screen.act(
        "A cable comes loose", "线缆松脱", "A silent instrument is not a calm one: no value is no value, never 0."
    )
    stage.world.silence(WEATHER_UNIT, True)
    stage.screen.line("site", "a technician pulls the weather station's cable")
    stage.until("the silence is an alarm", lambda: stage.raised("weather-silent", "blue"))
    stage.dwell(1)
    stage.world.silence(WEATHER_UNIT, False)
    stage.screen.line("site", "the cable is plugged in again; nobody touches the gateway")
    stage.until("the alarm clears by itself", lambda: stage.raised("weather-silent", "none"))
    stage.dwell(1)


def _storm(stage: Stage) -> None:
    stage.screen.act(
        "The storm", "暴雨", "Rain fills the pond. Limits are judged here, at the pond; the province hears at once."
    )
    stage.go(1.2, POND_ORANGE_HOURS)
    stage.until("the pond is orange", lambda: stage.raised("pond-level-high", "orange"))
    stage.until("the province knows", lambda: stage.at_province("pond-level-high", "orange"))
    stage.dwell(2)


def _cut(stage: Stage) -> None:
    stage.screen.act(
        "The fibre is gone, and the pond goes red",
        "断网",
        "A slide takes the fibre. Readings are kept, on disk, until the province signs for them;",
        f"alarms go by Beidou, {CARD_BYTES} bytes at most, in the card's next slot.",
    )
    stage.cut_fibre()
    stage.screen.line("fibre", click.style("CUT", fg="red", bold=True))
    stage.until("the gateway notices", lambda: (stage.link("fibre") or {"up": True})["up"] is False)
    stage.go(0.8, POND_RED_HOURS)
    stage.until("the pond is red", lambda: stage.raised("pond-level-high", "red"))
    stage.until("the siren sounds", lambda: stage.siren.on)
    stage.fengsui("outputs")
    stage.fengsui("links")
    stage.until("the province knows, by Beidou", lambda: stage.at_province("pond-level-high", "red"), BEIDOU_PATIENCE_S)
    stage.until("the province's signature has come down by Beidou", stage.signed, BEIDOU_PATIENCE_S)
    stage.screen.line("gateway", "the province's signature for the alarm has come down, by Beidou too")
    stage.dwell(2)


def _power(stage: Stage) -> None:
    stage.screen.act(
        "The gateway dies, and the dam goes red",
        "断电",
        "A tree falls over the antenna too: no way out is left.",
        "Then kill -9, without warning; and it is started again, still cut off.",
    )
    stage.beidou.command("site beams off")
    stage.screen.line("site", click.style("the Beidou antenna sees no satellite any more", fg="red", bold=True))
    stage.until("the gateway notices", lambda: stage.raised("bd-signal-low", "yellow"))
    stage.dwell(1)
    stage.go(0.2, DARK_HOURS)
    held = stage.held()
    stage.kill_gateway()
    stage.screen.line(
        "gateway", click.style(f"KILLED (-9) with {held} readings the province has not got", fg="red", bold=True)
    )
    stage.until("the siren's relay falls by its own timer", lambda: not stage.siren.on)
    stage.dwell(1)
    stage.rig.start_gateway()
    status = stage.until("the gateway answers again", lambda: stage.rig.asked("status"))
    levels = ", ".join(f"{limit} {level}" for limit, level in status["levels"].items())
    stage.screen.line(
        "gateway", f"runs again: holds {status['store']['account']['held']} readings, still knows: {levels}"
    )
    stage.until("the siren sounds again", lambda: stage.siren.on)
    stage.go(0.9, PORE_RED_HOURS)
    stage.until("the dam is red", lambda: stage.raised("pore-2-high", "red"))
    stage.dwell(3)


def _back(stage: Stage) -> None:
    stage.screen.act(
        "The fibre is back", "复网", "First the alarm, then where we are now, then the backlog, oldest first."
    )
    held = stage.held()
    stage.mend_fibre()
    stage.screen.line("fibre", click.style("MENDED", fg="green", bold=True) + f", {held} readings wait")
    stage.until("the red alarm of the dam is at the province", lambda: stage.at_province("pore-2-high", "red"))
    stage.until("the backlog is gone", lambda: stage.held() <= DRAINED_READINGS)
    packets = stage.rig.province(
        "SELECT kind, entries, bytes FROM packets WHERE link = ? AND received_at_ms >= ? ORDER BY id LIMIT 5",
        *(FIBRE, stage.moments.mended_ms),
    )
    words = ", ".join(f"{Kind(kind).name.lower()} ×{entries} ({size} B)" for kind, entries, size in packets)
    stage.screen.line("province", f"first came: {words}")
    stage.dwell(2)


def _spillway(stage: Stage) -> None:
    stage.screen.act("Because they knew", "泄洪", "The bureau has the spillway opened, and the antenna freed.")
    since_ms = stage.moments.mended_ms
    stage.beidou.command("site beams on")
    stage.world.spillway_open = True
    stage.go(0.8, END_HOURS)
    stage.until("the pond falls below red", lambda: stage.raised("pond-level-high", "orange", since_ms))
    stage.go(0.0, END_HOURS)
    stage.dwell(SETTLE_S / stage.pace)


ACTS: tuple[Callable[[Stage], None], ...] = (_morning, _cable, _storm, _cut, _power, _back, _spillway)


def _account(stage: Stage, kept: bool) -> int:
    stage.screen.act(
        "The account", "交账", "One reading an hour from here on, so that the books can be closed and compared."
    )
    stage.quieten()
    stage.until("the province has signed for everything", stage.rig.settled)
    witness = stage.witness
    found = verdict(
        collect(stage.rig, witness.readings, witness.alarms, stage.moments, by_beidou=RED_BY_BEIDOU, waited=RED_WAITS)
    )
    click.echo("")
    stage.screen.paragraph(found.line, "red" if found.problems else "green")
    for note in found.notes:
        stage.screen.paragraph(note)
    for problem in found.problems:
        stage.screen.paragraph(f"WRONG: {problem}", "red")
    _farewell(stage, kept)
    return 1 if found.problems else 0


def _farewell(stage: Stage, kept: bool) -> None:
    folder = stage.rig.folder
    click.echo("")
    if kept:
        click.echo(f"  site file   {stage.rig.site_file}")
        click.echo(f"  province    {stage.rig.database}   (sqlite3: entries, readings, alarms, packets)")
        click.echo(f"  logs        {folder}/gateway.log, province.log")
        click.echo(f"  check it    {_fengsui()} check {stage.rig.site_file}")
    else:
        click.echo("  next: keep the files with  fengsui-sim demo --keep FOLDER,  or begin your own site:")
        click.echo(f"        {_fengsui()} check deploy/sites/tailings_pond.toml   (gateway {GATEWAY} was one like it)")


def _fengsui() -> str:
    """What to type here for `fengsui`."""
    beside = Path(sys.executable).parent / "fengsui"
    if shutil.which("fengsui") or not beside.exists():
        return "fengsui"
    try:
        return str(beside.relative_to(Path.cwd()))
    except ValueError:
        return str(beside)


def _show_log(path: Path) -> None:
    if path.exists():
        click.echo(f"the end of {path.name}:")
        for line in path.read_text("utf-8", "replace").splitlines()[-LOG_LINES:]:
            click.echo(f"  {line}")
