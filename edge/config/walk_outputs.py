"""The outputs and actions of a site file, and what must fit between them and the limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any, Protocol

from edge.actions import MAX_ON_MOST_S, Action
from edge.config.plugs import opinion
from edge.config.reader import Reader, Where
from edge.config.site import Output, Port
from edge.config.tables import ActionTable, OutputTable
from edge.config.thresholds import LEVELS
from edge.config.words import listing
from edge.contract import Driver, Level, OutputSpec
from edge.limit_reach import Reach

BEAT_LEAST_MS, BEAT_MOST_MS = 100, 600_000  # a relay and a bus at 9600 baud keep up; longer is no pattern
MAX_ON_LEAST_MS = 1000
LIMITS_SAID = 6  # in one sentence


class Part(Protocol):
    """A table and where it stands; `table` or `settings` None: wrong."""

    @property
    def where(self) -> Where: ...
    @property
    def raw(self) -> Mapping[str, Any]: ...
    @property
    def table(self) -> Any: ...
    @property
    def driver(self) -> Driver | None: ...
    @property
    def settings(self) -> Any: ...


def read_outputs(
    reader: Reader, parts: Sequence[Part], ports: Sequence[tuple[Where, Port]], users: Mapping[str, str]
) -> list[Output]:
    """The outputs that are right. `users`: port -> the driver of the devices on it."""
    made, users = [], dict(users)
    for part in parts:
        table: OutputTable | None = part.table
        if table is None or part.driver is None or part.settings is None:
            continue
        port = part.raw.get("port") if part.driver.output_port else None
        if part.driver.output_port and not isinstance(port, str):
            continue  # complained of already
        if port is not None and users.setdefault(port, part.driver.name) != part.driver.name:
            reader.problem((*part.where, "port"), f"what is on “{port}” speaks {users[port]}: take another port")
        spec = OutputSpec(table.id, part.settings)
        made.append(Output(table.id, table.name, part.driver, spec, port, table.rest == "on"))
    by_id = {port.id: port for _, port in ports}
    for name, port in dict.fromkeys((output.driver.name, output.port) for output in made):
        here = [output for output in made if (output.driver.name, output.port) == (name, port)]
        settings = by_id.get(port) if port else None
        specs = [output.spec for output in here]
        for sentence in opinion(name, here[0].driver.check_outputs, settings, specs):
            id_, _, said = sentence.partition(": ")
            where = next((part.where for part in parts if part.table and part.table.id == id_), None)
            reader.problem(where or ("output",), said if where else sentence)
    return made


def read_actions(
    reader: Reader, parts: Sequence[Part], outputs: Mapping[str, Output | None], limits: Sequence[str], reached: Reach
) -> list[Action]:
    """The actions, a light column as one for each lamp. `outputs`: all ids that are given; None: wrong. `reached`: of
    the limits that are right."""
    for given in outputs:
        if given in limits:
            reader.problem(("output",), f"“{given}” is a limit's name too: fengsui drill could not tell them apart")
    made = []
    for part in parts:
        if part.table is not None:
            made += _action(reader, part.where, part.table, outputs, limits, reached)
    asked = {action.output for action in made}
    for id_, output in outputs.items():
        if output is not None and id_ not in asked and not reader.problems:
            reader.problem(("output",), f"no action switches “{id_}”; take it out, or name it in an [[action]]")
    return made


def _action(
    reader: Reader,
    where: Where,
    table: ActionTable,
    outputs: Mapping[str, Output | None],
    limits: Sequence[str],
    reached: Reach,
) -> list[Action]:
    before = len(reader.problems)
    for limit in table.on:
        reader.reference((*where, "on"), "limit", limit, limits)
    lamps = _lamps(reader, where, table, outputs)
    pattern = [
        reader.duration_ms((*where, "pattern"), beat, BEAT_LEAST_MS, BEAT_MOST_MS) for beat in table.pattern or ()
    ]
    if len(pattern) % 2:
        reader.problem((*where, "pattern"), "on and off must come in pairs; one is missing")
    rests_on = any(output.rest_on for _, id_ in lamps if (output := outputs.get(id_)))
    max_on_s = _max_on_s(reader, where, table, rests_on)
    if rests_on and (pattern or not table.only_while_raised):
        reader.problem(where, "an output that rests on goes off while the level stands: no pattern, no other end")
    _text(reader, where, table, [output for _, id_ in lamps if (output := outputs.get(id_))])
    if len(reader.problems) > before:
        return []
    pattern_s = tuple(beat / 1000 for beat in pattern if beat is not None)
    only = table.column is not None
    how = (max_on_s, pattern_s, only, table.only_while_raised, table.text)
    names = [f"{table.id}.{level.name.lower()}" if only else table.id for level, _ in lamps]
    made = [
        Action(name, tuple(dict.fromkeys(table.on)), level, output, *how)
        for name, (level, output) in zip(names, lamps, strict=True)
    ]
    _check_reached(reader, (*where, "column" if only else "level"), made, reached)
    return made


def _check_reached(reader: Reader, where: Where, made: Sequence[Action], reached: Reach) -> None:
    """One that can never ask for its output would be found out when it is needed. Of a column some lamps may stay dark:
    it is bought with four."""
    limits = made[0].limits if made else ()
    if not made or not all(limit in reached for limit in limits):
        return
    if any(action.follows(level) for action in made for limit in limits for level in reached[limit]):
        return
    levels = ", ".join(action.level.name.lower() for action in made)
    stand = "; ".join(f"“{limit}” at {listing(_colours(reached[limit]))}" for limit in limits[:LIMITS_SAID])
    reader.of_no_use(where, f"{levels} is never reached: its limits can only stand so: {stand}")


def _colours(levels: Iterable[Level]) -> list[str]:
    return [level.name.lower() for level in sorted(levels)]


def _lamps(
    reader: Reader, where: Where, table: ActionTable, outputs: Mapping[str, Output | None]
) -> list[tuple[Level, str]]:
    """(level, output) of each that is switched."""
    if (table.output is None) == (table.column is None):
        reader.problem(where, "needs `output` (one, from `level` up) or `column` (one for each level), and not both")
        return []
    lamps: list[tuple[Level, str]] = []
    for key, output in table.column.items() if table.column is not None else [(table.level, table.output)]:
        if key not in LEVELS:
            reader.problem((*where, "column", key), "no such level; allowed here: blue, yellow, orange, red")
        elif reader.reference(where, "output", str(output), outputs):
            lamps.append((LEVELS[key], str(output)))
    return lamps


def _text(reader: Reader, where: Where, table: ActionTable, outputs: Sequence[Output]) -> None:
    """A text is there for all that speak, and for nothing else."""
    for output in outputs:
        check = output.driver.check_text
        if check is None and table.text:
            reader.problem((*where, "text"), f"“{output.id}” does not speak (driver {output.driver.name}): take it out")
        elif check is not None and not table.text:
            reader.problem(where, f"the key `text` is missing: what “{output.id}” says")
        elif check is not None and (wrong := check(table.text)):
            reader.problem((*where, "text"), wrong)


def _max_on_s(reader: Reader, where: Where, table: ActionTable, rests_on: bool) -> float:
    if rests_on:
        if table.max_on is not None:
            reader.problem((*where, "max_on"), "the output rests on, off is its safe state: take this key out")
        return inf
    if table.max_on is None:
        reader.problem(where, 'the key `max_on` is missing: no longer than this after an alarm, "3min"')
        return 0.0
    most_ms = round(MAX_ON_MOST_S * 1000)
    return (reader.duration_ms((*where, "max_on"), table.max_on, MAX_ON_LEAST_MS, most_ms) or 0) / 1000
