"""Changes of the daemon's own source text, made in this process while a context lasts.

`edit` takes a function's text, replaces a piece of it and puts what comes of it in the function's place
(unittest.mock). A piece that is not there any more, or there more than once, raises `Gone` when the change is made.
"""

from __future__ import annotations
import __future__

import contextlib
import importlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import FunctionType
from typing import Any
from unittest import mock

# All of the daemon is imported before anything is changed: what is imported later would keep the change.
WHOLE = (
    *("edge.daemon", "drivers.modbus.sensor", "drivers.serial_line.sensor", "drivers.mqtt.link", "drivers.beidou.link"),
    "sim.world.world",
)
for _module in WHOLE:
    importlib.import_module(_module)

Change = Callable[[], AbstractContextManager[None]]


class Gone(LookupError):
    """What a mutant changes is not there any more."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`promise`: of DESIGN, as the judges call it. `story`: the name of one that shows the fault. `ground`: where it is
    hunted through random misfortune (world_hunt.py); "" where no such story can show it, and then `why`."""

    name: str
    promise: str
    story: str
    change: Change
    ground: str = "standard"
    why: str = ""


def edit(where: str, *changes: tuple[str, str]) -> Change:
    """Replaces pieces of the text of `module:Class.function` or `module:function`."""

    @contextlib.contextmanager
    def changed() -> Iterator[None]:
        owner, name = _owner(where)
        made = _rewritten(owner, name, where, changes)
        with contextlib.ExitStack() as stack:
            for place in _places(owner, name):
                stack.enter_context(mock.patch.object(place, name, made))
            yield

    return changed


def const(where: str, value: object) -> Change:
    """Gives `module:NAME` another value."""

    @contextlib.contextmanager
    def changed() -> Iterator[None]:
        owner, name = _owner(where)
        if not hasattr(owner, name):
            raise Gone(f"{where} is gone")
        with mock.patch.object(owner, name, value):
            yield

    return changed


def both(*parts: Change) -> Change:
    """A mistake made in several places."""

    @contextlib.contextmanager
    def changed() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for part in parts:
                stack.enter_context(part())
            yield

    return changed


def _owner(where: str) -> tuple[Any, str]:
    module, _, path = where.partition(":")
    owner: Any = importlib.import_module(module)
    *classes, name = path.split(".")
    for one in classes:
        if not hasattr(owner, one):
            raise Gone(f"{where} is gone")
        owner = getattr(owner, one)
    return owner, name


def _places(owner: Any, name: str) -> list[Any]:
    """Where it stands: in its class, or in each module that has it by its name."""
    if isinstance(owner, type):
        return [owner]
    ours = [module for key, module in sorted(sys.modules.items()) if key.partition(".")[0] in ("edge", "drivers")]
    return [module for module in ours if vars(module).get(name) is vars(owner)[name]]


def _rewritten(owner: Any, name: str, where: str, changes: tuple[tuple[str, str], ...]) -> Any:
    raw = vars(owner).get(name)
    if raw is None:
        raise Gone(f"{where} is gone")
    function = raw.fget if isinstance(raw, property) else inspect.unwrap(getattr(raw, "__func__", raw))
    assert isinstance(function, FunctionType)
    text = textwrap.dedent(inspect.getsource(function))
    for old, new in changes:
        if text.count(old) != 1:
            raise Gone(f"{where} has {old!r} {text.count(old)} times")
        text = text.replace(old, new)
    # The text of a method may name its class without saying so: super().
    text = "def _in_its_class(__class__):\n" + textwrap.indent(text, "    ") + f"\n    return {name}\n"
    made: dict[str, Any] = {}
    flags = __future__.annotations.compiler_flag
    exec(compile(text, f"<mutant of {where}>", "exec", flags=flags, dont_inherit=True), function.__globals__, made)
    return made["_in_its_class"](owner)
