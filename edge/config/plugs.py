"""Finds the drivers that a site file names, by entry point; imports no other.

A driver that is missing or broken is a problem of the site file, with the installed ones listed. A driver's own
`check` is asked here too. Nothing of a driver is opened or connected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge.config.reader import Reader, Where
from edge.config.words import did_you_mean, listing
from edge.contract import ENTRY_POINT_GROUP, Driver
from edge.installed import entries

# What importing somebody else's module is seen to raise; anything else is a bug of ours.
BROKEN_IMPORT = (
    ImportError,
    AttributeError,
    SyntaxError,
    NameError,
    TypeError,
    ValueError,
    OSError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
)


def opinion(name: str, check: Callable[..., Sequence[str]], *about: object) -> list[str]:
    """What the driver `name` finds wrong with settings; if it fails in that, a sentence that says so."""
    try:
        return list(check(*about))
    except Exception as error:  # noqa: BLE001 a driver is anybody's code: its fault is a problem of the file like any
        # other, so that the gateway starts from the last good copy instead of not at all
        found = f"{type(error).__name__}: {error}"
        return [f"the driver “{name}” itself fails on these settings ({found}): correct them, and tell its author"]


class Drivers:
    """Drivers by name, each loaded at its first mention. `given` replaces the entry points (tests)."""

    def __init__(self, given: Mapping[str, Driver] | None) -> None:
        self._loaded: dict[str, Driver | str] = dict(given or {})
        self._given = given

    def installed(self) -> list[str]:
        """Names that a site file may use."""
        return sorted(self._given if self._given is not None else _entry_points())

    def get(self, reader: Reader, where: Where, name: str) -> Driver | None:
        """The driver `name`; None after a problem was noted."""
        found = self.load(name)
        if isinstance(found, Driver):
            return found
        reader.problem((*where, "driver"), found)
        return None

    def load(self, name: str) -> Driver | str:
        """The driver `name`, or a sentence saying why there is none."""
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> Driver | str:
        entry = None if self._given is not None else _entry_points().get(name)
        if entry is None:
            near = did_you_mean(name, self.installed())
            hint = f"did you mean “{near}”? " if near else ""
            return f"no driver “{name}” is installed; {hint}installed: {listing(self.installed())}"
        try:
            driver = entry.load()
        except BROKEN_IMPORT as error:
            others = listing(other for other in self.installed() if other != name)
            return (
                f"the driver “{name}” ({entry.value}) can not be imported: {type(error).__name__}: {error}; "
                f"install its package again, or use one of: {others}"
            )
        if not isinstance(driver, Driver):
            return f"“{name}” ({entry.value}) is not a driver but a {type(driver).__name__}; its package is wrong"
        return driver


def _entry_points() -> Mapping[str, Any]:
    return entries(ENTRY_POINT_GROUP)
