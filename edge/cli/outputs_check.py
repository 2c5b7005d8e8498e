"""What `fengsui check` has to say of outputs."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from edge.actions import Action
from edge.cli.show import table
from edge.config.plugs import opinion
from edge.config.site import Output, Site
from edge.config.units import show_ms
from edge.config.words import listing
from edge.contract import Level, Port, PortSettings
from edge.errors import PortLost
from edge.limit_reach import reach, unheard
from edge.switching import open_outputs

SHOWN = 6  # names in one note
IF_KILLED = (
    "its device has no timer that we know of: if the gateway dies while it is on, it stays on until the gateway runs "
    "again (some 10 s), and for ever if it does not; take a device with a timer (`timer`), or a relay that falls "
    "by itself"
)


def notes(site: Site) -> list[str]:
    """What stays switched when the gateway is gone, in words."""
    found = []
    made = open_outputs(site, _no_port, {})  # without their sensors: nothing is opened, and nothing asked
    for output in site.outputs:
        hold_s = made[output.id].hold_s if output.id in made else None
        who = f"output {output.id}"
        if hold_s is None and made[output.id].readable:
            found.append(f"{who}: {output.driver.if_killed or IF_KILLED}")
        elif hold_s is None:
            found.append(f"{who}: it can not be asked how it stands, and nothing ends it if the gateway dies meanwhile")
        beside = [device.id for device in site.devices if output.port is not None and device.port == output.port]
        if beside:
            found.append(
                f"{who}: shares its wire with {', '.join(beside[:SHOWN])}: one that falls silent there costs an order "
                "its timeout; a wire of its own is better"
            )
        late = [
            f"{action.id} ({action.max_on_s:g} s)"
            for action in site.actions
            if action.output == output.id and hold_s is not None and hold_s > action.max_on_s
        ]
        if late:
            found.append(f"{who}: `hold` {hold_s:g} s is longer than what may be on at most: {', '.join(late)}")
    return found + _in_vain(site) + _not_locked_out(site)


def _in_vain(site: Site) -> list[str]:
    """Limits that an action names and never follows, and lamps that are never lit."""
    reached, found = reach([limit.judged for limit in site.limits]), []
    for action in site.actions:
        never = [limit for limit in action.limits if not any(map(action.follows, reached[limit]))]
        if len(never) == len(action.limits) or (never and not action.only):
            found.append(f"action {action.id}: {action.level.name.lower()} is never reached by {listing(never)}")
    return found


def _not_locked_out(site: Site) -> list[str]:
    """Releases that an instrument which fails does not take away (故障闭锁)."""
    resting, limits = {output.id for output in site.outputs if output.rest_on}, [limit.judged for limit in site.limits]
    found = []
    for action in site.actions:
        if action.output not in resting:
            continue
        others = [other for other in site.actions if other.output == action.output]  # each takes it away by itself

        def switches(limit: str, level: Level, others: Sequence[Action] = others) -> bool:
            return any(limit in other.limits and other.follows(level) for other in others)

        points = ", ".join(unheard(limits, action.limits, switches))
        if points:
            level = action.level.name.lower()
            found.append(
                f"action {action.id}: output {action.output} stays released when the instrument fails (silent, or only "
                f"doubtful readings): {points}; give each a `stale` limit with {level}, and write it into `on` / "
                f"动作 {action.id}：上述测点的传感器故障（无数据或数据可疑）时，输出 {action.output} "
                f"不断开，即无故障闭锁；请为每个测点写 stale 限值（含 {level}）并列入 on。"
            )
    return found


def lacks(site: Site) -> list[str]:
    """What outputs need and this machine does not have."""
    by_driver: dict[str, list[Output]] = {}
    for output in site.outputs:
        by_driver.setdefault(output.driver.name, []).append(output)
    return [
        f"output {sentence}"
        for here in by_driver.values()
        for sentence in opinion(here[0].driver.name, here[0].driver.lacks, [output.spec for output in here])
    ]


def as_text(site: Site) -> list[str]:
    """The tables of `fengsui check`."""
    rows = [
        (output.id, output.driver.name, output.port or "-", "on" if output.rest_on else "off", output.name)
        for output in site.outputs
    ]
    switched = [
        (
            action.id,
            f"{action.level.name.lower()}{'' if action.only else ' and worse'}",
            ", ".join(action.limits),
            action.output,
            "-" if action.max_on_s == inf else show_ms(round(action.max_on_s * 1000)),
        )
        for action in site.actions
    ]
    return [
        table("outputs", ("id", "driver", "port", "rests", "name"), rows),
        table("actions", ("id", "level", "of limits", "output", "at most"), switched),
    ]


def as_json(site: Site) -> dict[str, Any]:
    """The same in JSON types."""
    return {
        "outputs": [_output_json(output) for output in site.outputs],
        "actions": [_action_json(action) for action in site.actions],
    }


def _output_json(output: Output) -> dict[str, Any]:
    rests = "on" if output.rest_on else "off"
    return {"id": output.id, "name": output.name, "driver": output.driver.name, "port": output.port, "rests": rests}


def _action_json(action: Action) -> dict[str, Any]:
    """`max_on_s` null: of an output that rests on."""
    return {
        "id": action.id,
        "limits": list(action.limits),
        "level": action.level.name.lower(),
        "output": action.output,
        "pattern_s": list(action.pattern_s),
        "max_on_s": None if action.max_on_s == inf else action.max_on_s,
    }


async def _no_port(settings: PortSettings) -> Port:
    raise PortLost(settings.id, "not opened")
