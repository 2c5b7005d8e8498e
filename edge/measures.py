"""Measures: what a limit judges where that is not a reading as it stands. Pure streams of numbers, no clock, no I/O.

    measure = make(spec)
    measure.take(value, at_s)      the measured number in whole steps of the measure, or None while there is none

`value` is in whole steps of the point, None for a reading that is no evidence; `at_s` is monotonic. An instant before
the last one counts as the last one: what comes late is judged when it comes. The cost of a reading does not depend on
the length of the window, memory is bounded whatever comes. UTC is never seen: a clock that is set changes nothing.

`state(now_s)` is all a measure knows as CBOR types; `restore(state, now_s, gap_s)` makes another of the same spec
go on from there, `gap_s` later (None: nobody knows how much later). What cannot be understood raises one of DAMAGED
and leaves the measure as new.

One file for each family: `measure_plain.py`, `measure_window.py` (sums and means), `measure_rate.py` (rates),
`measure_creep.py` (tangent angle and time to failure); `measure_nouns.py` has what they share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edge.contract import Of
from edge.measure_creep import TangentAngle, TimeToFailure
from edge.measure_nouns import Measure, Spec
from edge.measure_plain import Difference, Scaled, Total
from edge.measure_rate import Rate
from edge.measure_window import Mean, Sum

KINDS: Mapping[Of, Callable[[Spec], Measure]] = {
    Of.VALUE: Scaled,
    Of.RATIO: Scaled,
    Of.TOTAL: Total,
    Of.DIFFERENCE: Difference,
    Of.SUM: Sum,
    Of.MEAN: Mean,
    Of.RATE: Rate,
    Of.TANGENT_ANGLE: TangentAngle,
    Of.TIME_TO_FAILURE: TimeToFailure,
}


def make(spec: Spec) -> Measure:
    """The measure of a spec, knowing nothing yet."""
    return KINDS[spec.of](spec)
