"""A device that names a sensor template, written out as one would have written it by hand.

    [[device]]                          the template's `driver`, its driver's keys (unless given here), and
    device = "dfrobot-sen0676"          its points as [[device.point]]: ids `pond.level`, `pond.distance`
    id = "pond"                         (`points = [...]` picks some; a [[device.point]] with `point = "level"`
    height = 12.5                       changes any key of one, one without is a point of its own)

In a template `"$height"` stands for the number that the device gives (`"$north * -1000"` for a multiple of it,
`"$height - $reach"`, `"$height - 10"` for it less another), and `"@temperature"` for the id of another of its points,
which then comes along. Runs before the walk, on plain tables: what it yields is judged there like everything else.

A template's `range` is what the instrument shows by the template's own `scale` and `offset`: a [[device.point]] that
changes one of these takes it off, and without a number that it is made of there is none, so that no threshold is said
to lie beyond it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from edge.config.formula import FORMULA, computed, names_in
from edge.config.reader import Reader, Table, Where, label
from edge.config.templates import OWN_POINT_KEYS, Template, find, keys_of, missing, read_template
from edge.config.words import did_you_mean, listing, show
from edge.errors import SiteFileError

TEMPLATE_KEY, CHOICE_KEY, POINT_KEY = "device", "points", "point"
RANGE_KEY = "range"
SCALING_KEYS = ("scale", "offset", "vibrating_wire")  # what makes of a register the number that has the range

_SIBLING = re.compile(r"@([a-z0-9_-]+)")


class Expanded(NamedTuple):
    """`raw`: the site file without templates. `templates`: label of a device -> what its template is called; `asks`:
    which keys that adds. `lost`: the labels of devices that could not be written out -> their ids. `files`: the
    templates that were used."""

    raw: Table
    templates: Mapping[str, str]
    asks: Mapping[str, Sequence[str]]
    lost: Mapping[str, str]
    files: tuple[Path, ...]


class _Device(NamedTuple):
    """One device on its way: what it asks for. `asked`: keys whose number stands in for one that [design] lacks."""

    reader: Reader
    where: Where
    raw: Table
    name: str
    template: Template
    numbers: Mapping[str, float]
    asked: Collection[str]


def expand(reader: Reader, raw: Table, places: Sequence[Path], asked: Collection[Where] = ()) -> Expanded:
    """The site file with every device written out; problems go to `reader`. `asked`: (label of a device, key) whose
    number only stands in for one that is still asked for."""
    known: dict[str, Template | None] = {}
    files: dict[str, Path] = {}
    templates: dict[str, str] = {}
    asks: dict[str, Sequence[str]] = {}
    lost: dict[str, str] = {}
    devices = []
    for index, table in enumerate(raw["device"]):
        if not isinstance(table, dict) or TEMPLATE_KEY not in table:
            devices.append(table)
            continue
        place = label("device", index, table)
        name = table[TEMPLATE_KEY]
        template = _template((place, TEMPLATE_KEY), name, reader, places, known, files)
        if template is None:
            lost[place] = str(table.get("id"))
            devices.append({key: value for key, value in table.items() if key != TEMPLATE_KEY})
            continue
        templates[place], asks[place] = str(name), [TEMPLATE_KEY, CHOICE_KEY, *keys_of(template)]
        missing_here = {where[1] for where in asked if where[0] == place}
        devices.append(_written_out(reader, (place,), table, str(name), template, missing_here))
    return Expanded({**raw, "device": devices}, templates, asks, lost, tuple(files.values()))


def said(problem: str, expanded: Expanded) -> str | None:
    """A problem found in what was written out, with the template's name; None for what only follows from a lost one."""
    place = problem.split(" → ", 1)[0].split(": ", 1)[0]
    if place in expanded.lost or any(f"there is no point “{id_}." in problem for id_ in expanded.lost.values()):
        return None
    if place not in expanded.templates:
        return problem
    if ": has no point;" in problem:
        return None  # said already, of `points`
    name, asks = expanded.templates[place], expanded.asks[place]
    is_of_device = "no such key" in problem and problem.count(" → ") == 1
    return f"{problem} (template {name}{f', which has: {listing(asks)}' if is_of_device else ''})"


def _template(
    where: Where,
    name: object,
    reader: Reader,
    places: Sequence[Path],
    known: dict[str, Template | None],
    files: dict[str, Path],
) -> Template | None:
    if not isinstance(name, str):
        reader.problem(where, f"found {show(name)}; allowed: the name of a sensor template, as fengsui sensors lists")
        return None
    if name in known:
        return known[name]
    path = find(name, places)
    if path is None:
        reader.problem(where, missing(name, places))
        return None
    try:
        known[name] = read_template(path)
    except SiteFileError as error:
        known[name] = None  # said once, however many devices name it
        for problem in error.problems:
            reader.problem(where, f"the template {path} is wrong: {problem}")
        return None
    files[name] = path
    return known[name]


def _written_out(
    reader: Reader, where: Where, raw: Table, name: str, template: Template, asked: Collection[str]
) -> Table:
    keys = keys_of(template)
    numbers = {key: float(raw[key]) for key in keys if key in raw and _is_number(reader, (*where, key), raw[key])}
    device = _Device(reader, where, raw, name, template, numbers, asked)
    taken_off = {TEMPLATE_KEY, CHOICE_KEY, POINT_KEY, *keys}
    own = {key: value for key, value in raw.items() if key not in taken_off}
    if "driver" in own:
        reader.problem((*where, "driver"), f"is the template's ({template.driver}); take this key out")
    points = _points(device)
    values = _Values(device, keys)
    written = values.filled({**template.device, **own, "driver": template.driver})
    written["point"] = [values.filled(point) if is_ours else point for point, is_ours in points]
    values.tell()
    return written


def _is_number(reader: Reader, where: Where, value: object) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return True
    reader.problem(where, f"found {show(value)}; allowed: a number")
    return False


def _points(device: _Device) -> list[tuple[Table, bool]]:
    """The points to be read, (table, is it the template's), in the template's order, those of one's own behind."""
    on_offer = {str(point["id"]): point for point in offered(device.template)}
    changes, own = _changes(device, on_offer)
    wanted = _wanted(device, on_offer, changes)
    id_ = device.raw.get("id")
    owner = id_ if isinstance(id_, str) else device.name  # a device without an id is complained of later
    found: list[tuple[Table, bool]] = []
    for short, point in on_offer.items():
        if short in wanted:
            change = changes.get(short, {})
            left_out = {*OWN_POINT_KEYS, *((RANGE_KEY,) if any(key in change for key in SCALING_KEYS) else ())}
            plain = {key: value for key, value in point.items() if key not in left_out}
            plain["id"] = f"{owner}.{short}"
            found.append(({**plain, **change}, True))
    _name_siblings(found, {short: str(table["id"]) for short, (table, _) in zip(wanted, found, strict=True)})
    return found + [(table, False) for table in own]


def offered(template: Template) -> Iterator[Table]:
    """Every point of the template, channels one by one, as it stands there."""
    for raw in template.point:
        channels = raw.get("channels")
        if channels is None:
            yield raw
            continue
        for n in range(1, channels + 1):
            point = _changed(raw, lambda text, n=n: text.replace("{n}", str(n)))  # type: ignore[misc]
            if isinstance(point.get("register"), int):
                point["register"] += (n - 1) * raw.get("stride", 1)
            yield point


def _changes(device: _Device, on_offer: Mapping[str, Table]) -> tuple[dict[str, Table], list[Table]]:
    """What [[device.point]] tables say: of the template's points by short id, and points of one's own."""
    changes: dict[str, Table] = {}
    own: list[Table] = []
    given = device.raw.get(POINT_KEY, [])
    if not isinstance(given, list):
        device.reader.problem((*device.where, POINT_KEY), "write it with double brackets, [[device.point]]")
        return changes, own
    for index, raw in enumerate(given):
        if not isinstance(raw, dict) or POINT_KEY not in raw:
            own.append(raw)
            continue
        short = raw[POINT_KEY]
        where = (*device.where, label("point", index, raw), POINT_KEY)
        if not _is_offered(device, where, short, on_offer):
            continue
        if short in changes:
            device.reader.problem(where, f"“{short}” stands in two tables; make one of them")
        changes[short] = {key: value for key, value in raw.items() if key != POINT_KEY}
    return changes, own


def _wanted(device: _Device, on_offer: Mapping[str, Table], changes: Mapping[str, Table]) -> list[str]:
    """Short ids, in the template's order: the chosen ones (all that are not optional), the changed, what they need."""
    choice = device.raw.get(CHOICE_KEY)
    where = (*device.where, CHOICE_KEY)
    if choice is None or choice == []:
        usual = {short for short, point in on_offer.items() if not point.get("optional")}
        wanted = set(changes) | (usual if choice is None else set())
        if not wanted:
            device.reader.problem(device.where, f"the key `points` is missing: a list of {listing(on_offer)}")
    elif not isinstance(choice, list):
        device.reader.problem(where, f"found {show(choice)}; allowed: a list of {listing(on_offer)}")
        wanted = set(changes)
    else:
        wanted = {short for short in choice if _is_offered(device, where, short, on_offer)}
        for short in changes:
            if short not in wanted:
                device.reader.problem(where, f"leaves out “{short}”, which a [[device.point]] changes; add it here")
    wanted |= {other for short in wanted for other in _siblings(on_offer[short]) if other in on_offer}
    return [short for short in on_offer if short in wanted]


def _is_offered(device: _Device, where: Where, short: object, on_offer: Mapping[str, Table]) -> bool:
    if isinstance(short, str) and short in on_offer:
        return True
    near = did_you_mean(short, list(on_offer)) if isinstance(short, str) else None
    hint = f"did you mean “{near}”?" if near else f"there are: {listing(on_offer)}"
    device.reader.problem(where, f"{show(short)} is no point of the template {device.name}; {hint}")
    return False


def _siblings(value: object) -> Iterator[str]:
    """The short ids that a table refers to."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _siblings(item)
    elif isinstance(value, str) and (match := _SIBLING.fullmatch(value)):
        yield match[1]


def _name_siblings(points: Sequence[tuple[Table, bool]], ids: Mapping[str, str]) -> None:
    """Puts the full ids where a table refers to another point of the device."""

    def named(text: str) -> str:
        match = _SIBLING.fullmatch(text)
        return ids.get(match[1], text) if match else text

    for table, _ in points:
        table.update(_changed(table, named))


def _changed(table: Table, change: Callable[[str], Any]) -> Table:
    """The table with every text in it changed."""

    def anew(value: Any) -> Any:
        if isinstance(value, dict):
            return _changed(value, change)
        if isinstance(value, list):
            return [anew(item) for item in value]
        return change(value) if isinstance(value, str) else value

    return {key: anew(value) for key, value in table.items()}


class _Values:
    """Puts the device's numbers into its tables, and complains once of each that is missing."""

    def __init__(self, device: _Device, keys: Mapping[str, Any]) -> None:
        self._device = device
        self._keys = keys
        self._missing: dict[str, None] = {}
        self._sure = True

    def filled(self, table: Table) -> Table:
        """The table with numbers for `$name`; without its range where one of them is not known."""
        self._sure = True
        filled = _changed(table, self._number)
        if not self._sure:
            filled.pop(RANGE_KEY, None)
        return filled

    def tell(self) -> None:
        """Complains of what was needed and not given."""
        for name in self._missing:
            key = self._keys[name]
            unit = f" in {key.unit}" if key.unit else ""
            problem = f"the key `{name}` is missing: {key.about}{unit}"
            self._device.reader.problem(self._device.where, problem)

    def _number(self, text: str) -> float | str:
        match = FORMULA.fullmatch(text)
        if match is None or not all(name in self._keys for name in names_in(match)):
            return text
        return computed(match, self._given)

    def _given(self, name: str) -> Decimal:
        number = self._device.numbers.get(name)
        if number is None and name not in self._device.raw:  # else what is wrong with it has been said
            self._missing[name] = None
        self._sure = self._sure and number is not None and name not in self._device.asked
        # An example's number where there is none, so that nothing else is found wrong in its place.
        return Decimal(repr(self._keys[name].example if number is None else number))
