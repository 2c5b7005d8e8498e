"""What intake knows of points, ports and devices at present: what a technician sees, and the place on the ladder."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.contract import MAX_STEPS, Point, Quality, Sensor

# Widths of the range. A real flood may pass the gauge's end: that is judged (OVER_RANGE). Nothing that still measures
# shows a number further beyond its range than the range is wide: that is 65535 for "no answer", or what a register
# without a sign makes of a wire that is a hair behind its zero.
BELIEVED_BEYOND = 1
# A range this narrow is of states, not of a measure: a spark or smoke switch has 0 and 1, one of three zones or bits 0
# to 7. What tells more than it should (two zones at once: 3; "on" as 255, 256, 65280 or 65535) is still not at rest.
STATES_MOST_STEPS = 8


@dataclass(slots=True)
class PointNow:
    """A point as a technician sees it."""

    point: Point
    value: int | None = None
    quality: Quality = Quality.NO_ANSWER
    at_ms: int | None = None  # of the last reading, good or not
    good: int = 0
    failed: int = 0
    minimum: int | None = None
    maximum: int | None = None
    reach: int | None = None  # steps beyond the range that may still be true; None: any
    per_step: float = 1.0

    def __post_init__(self) -> None:
        step = self.point.step
        self.per_step = float(1 / step)
        if self.point.minimum is not None:
            self.minimum = round(self.point.minimum / step)
        if self.point.maximum is not None:
            self.maximum = round(self.point.maximum / step)
        if self.minimum is not None and self.maximum is not None:
            wide = self.maximum - self.minimum
            self.reach = BELIEVED_BEYOND * wide if wide > STATES_MOST_STEPS else None

    def take(self, value: float | None, quality: Quality, at_ms: int) -> None:
        """Rounds to whole steps and checks the range; what can not be a value becomes SUSPECT without one, what is too
        far beyond the range to be true becomes SUSPECT with it."""
        steps: int | None = None
        if value is not None:
            try:
                steps = round(value * self.per_step)
            except (ValueError, OverflowError):  # NaN, infinity
                quality = Quality.SUSPECT
            else:
                if not -MAX_STEPS <= steps <= MAX_STEPS:
                    steps, quality = None, Quality.SUSPECT
                elif quality is Quality.GOOD:
                    quality = self._quality(steps)
        elif quality is Quality.GOOD:
            quality = Quality.NO_ANSWER  # no value is never good
        self.value, self.quality, self.at_ms = steps, quality, at_ms
        if quality is Quality.GOOD:
            self.good += 1
        else:
            self.failed += 1

    def _quality(self, steps: int) -> Quality:
        """Of a good answer, by the range."""
        if self.maximum is not None and steps > self.maximum:
            beyond = steps - self.maximum
        elif self.minimum is not None and steps < self.minimum:
            beyond = self.minimum - steps
        else:
            return Quality.GOOD
        return Quality.SUSPECT if self.reach is not None and beyond > self.reach else Quality.OVER_RANGE

    def doubted(self) -> None:
        """The good reading just taken is not believed."""
        self.quality = Quality.SUSPECT
        self.good -= 1
        self.failed += 1


# A wire that has to carry more than it can does so for as long as it is asked; a device that is slow for once, or a
# machine that stood still, is over in the next minute.
LOOK_S = 60.0  # how often it is looked at whether a wire keeps up,
LEAST_DUE = 20  # and after so many instants at least: one of three left out says nothing
BEHIND_LOOKS = 2  # running, before it is said
BEHIND_SHARE = 0.9  # of what is due, read: less is behind; the ladder lets a dead neighbour cost 5 %
KEEPS_UP_SHARE = 0.97  # of one that was behind: it is over


@dataclass(slots=True)
class PortNow:
    """A wire. `due`, `done`: since the last look, the instants of its devices that answer, and those that were read."""

    id: str
    pause_s: float = 0.0
    retry_at_s: float = 0.0
    lost: str | None = None  # why, while it is
    due: int = 0
    done: int = 0
    looked_s: float = 0.0
    low: int = 0  # looks running at which it was behind
    behind: bool = False  # as was said last

    def answered(self, left_out: int, now_s: float) -> str:
        """A device has answered for one instant; so many more passed meanwhile. What is to be said, mostly ""."""
        if not self.due:
            self.looked_s = now_s
        self.done += 1
        self.due += 1 + left_out
        if now_s - self.looked_s < LOOK_S or self.due < LEAST_DUE:
            return ""
        share, self.due, self.done = self.done / self.due, 0, 0
        self.low = self.low + 1 if share < (KEEPS_UP_SHARE if self.behind else BEHIND_SHARE) else 0
        if self.behind and not self.low:
            self.behind = False
            return "keeps up again"
        if self.behind or self.low < BEHIND_LOOKS:
            return ""
        self.behind = True
        return (
            f"runs behind: of what is due only {100 * share:.0f} % is read, the rest is left out; read its devices "
            "less often (`every`), raise its `baud`, or give some of them a wire of their own"
        )


@dataclass(slots=True)
class DeviceNow:
    """A device, its place on the ladder, and which of its points are read how often."""

    id: str
    port: PortNow
    sensor: Sensor
    points: tuple[Point, ...]
    groups: dict[int, tuple[str, ...]] = field(default_factory=dict)
    failures: int = 0
    retry_at_s: float = 0.0
    silent: str | None = None  # why, while it is
    asked: int = 0
    answered: int = 0


@dataclass(slots=True)
class Heard:
    """What a device that speaks by itself said last of a point. `from_ms`: the first instant whose round has it."""

    value: int | None
    quality: Quality
    from_ms: int | None = None


NOT_HEARD = Heard(None, Quality.NO_ANSWER)
