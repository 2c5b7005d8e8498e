"""Whose fault is it that something raised: the gateway's, or the simulator's own?

The innermost place in the traceback that is in one of our files decides. Whatever raised in `sim` is told as a fault of
the simulator, so that nobody looks for it in the gateway; everything else is the daemon's, and promise 7 is broken.
It may be wrong where one hands the other nonsense: the file and the line are told. Pure.
"""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from sim.world.nouns import Broken

STARTS = "7 starts"
SIMULATOR = "the simulator"  # in place of a promise: nothing can be said of the gateway
_ROOT = Path(__file__).parents[2]
_FRAME = re.compile(r'^ *File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)


def blamed(error: BaseException, at_s: float, what: str = "") -> Broken:
    """An exception as what it breaks, at this second of the world. `what` was going on, or was to be."""
    trace = "".join(traceback.format_exception(error))
    return _broken(trace, at_s, ": ".join(filter(None, [what, f"{type(error).__name__}: {error}"])))


def blamed_words(words: str, trace: str, at_s: float) -> Broken:
    """The same of what the daemon has said of a part of it that failed. `trace`: the traceback it has logged."""
    return _broken(trace, at_s, words)


def _broken(trace: str, at_s: float, what: str) -> Broken:
    place, is_ours = _origin(trace)
    if is_ours:
        return Broken(SIMULATOR, at_s, f"a fault of the simulator, not of the gateway: {what}{place}")
    return Broken(STARTS, at_s, f"{what}{place}")


def _origin(trace: str) -> tuple[str, bool]:
    """ " (file, line n)" of the innermost place in our files, or "", and whether it is in `sim`."""
    for found in reversed(list(_FRAME.finditer(trace))):
        path = Path(found["file"])
        place = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else Path()
        if place.parts[:1] in (("sim",), ("edge",), ("drivers",)):
            return f" ({place}, line {found['line']})", place.parts[0] == "sim"
    return "", False
