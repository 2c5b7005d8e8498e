"""What edge/limit_memory.py says of what limits knew before the start."""

from __future__ import annotations

STANDS_ON = "a level of a sum or a rate stands until its whole window has been seen again"
SPOILT = f"{{}} of {{}} rows of what limits were told before the start are damaged: {STANDS_ON}"
HOLES = f"of what limits were told before the start something is missing: {STANDS_ON}"
FOREIGN = "{} is of another gateway or store and is not used"
NO_ZERO = "the zero of {} can not be found: it counts from what was there at the start of this run; write its `start`"
TELLS = "tells once how it stands, and until then gives nothing free"
LOST = f"where limits stood was lost with the store. {{}} {TELLS}"
COPIED = f"what was told after this copy of the store was made is lost. Each limit {TELLS}"
KNEW = "What {} knew stands, each other limit"
ZERO_LOST = (
    "the store was lost and with it the zero of {}: whether a level stood nobody knows. It counts from what is there"
    " now, and is told in a day as it stands then, with what hangs on it; write its `start`"
)
