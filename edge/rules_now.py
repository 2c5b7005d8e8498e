"""Each limit as it stands: what was judged, what is there now, and what would trip it. Pure, for people.

Everything is read off the engine's own latches, so what is said would trip a level is what will.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf, isinf
from typing import Any

from edge.config.site import Limit
from edge.contract import Level, Rule
from edge.intake_nouns import PointNow
from edge.limit_nouns import Latch
from edge.limit_words import COLOURS, explain, lasting
from edge.limits import Judged, JudgedPart, Limits
from edge.measure_plain import Total

MINUTES_FROM_S = 300.0  # what is left of a time is told in whole minutes from here
NOT_SURE = (
    "whether a level stood before is not known, nor sure before the number is where every level is left",
    "启动前是否已触发不详，数值回到全部解除范围之前不能确定",
)
NOT_HEARD = (
    "whether it stood before is not known until the next good value",
    "重启前是否已触发不详，须待下一个有效数据",
)

Words = tuple[str, str]  # English, Chinese


def rule_now(limit: Limit, limits: Limits, points: Mapping[str, PointNow], now_s: float) -> dict[str, Any]:
    """One limit in JSON types: `inputs` what is there now, `judged` the numbers made of it, `trips` what would change
    its level, each in both languages."""
    state = limits.judged[limit.id]
    trips = list(_trips(limit, state, limits, now_s))
    return {
        "id": limit.id,
        "name": limit.name,
        "level": state.level.name.lower(),
        "rule": explain(limit.judged, limit.scale),
        "rule_zh": explain(limit.judged, limit.scale, chinese=True),
        "inputs": list(_inputs(limit, limits, points)),
        "judged": list(_judged(limit, state)),
        "trips": [english for english, _ in trips],
        "trips_zh": [chinese for _, chinese in trips],
    }


def _inputs(limit: Limit, limits: Limits, points: Mapping[str, PointNow]) -> Iterator[dict[str, Any]]:
    for member in limit.judged.members:
        yield {"name": member, "value": limits.judged[member].level.name.lower(), "unit": "", "quality": None}
    if limit.judged.members:
        return
    others = [part.spec.other for part in limit.judged.parts if part.spec and part.spec.other]
    for name in dict.fromkeys([limit.point, *others]):
        now = points[name]
        quality = "not read yet" if now.at_ms is None else now.quality.name.lower().replace("_", " ")
        yield {"name": name, "value": now.point.show(now.value), "unit": now.point.unit, "quality": quality}


def _judged(limit: Limit, state: Judged) -> Iterator[dict[str, Any]]:
    """The number of each window, where that is not the reading itself; of a total what it is counted from."""
    for part in state.parts:
        if part.spec is not None:
            window = {"window_s": part.spec.window_s, "unit": limit.scale.unit}
            start = part.measure.start if isinstance(part.measure, Total) else None
            counted = {} if start is None else {"start": limit.scale.show(start)}
            yield {"of": part.spec.of.name.lower(), "value": limit.scale.show(part.value), **window, **counted}


# -- what would trip it -------------------------------------------------------------------------------------------


def _trips(limit: Limit, state: Judged, limits: Limits, now_s: float) -> Iterator[Words]:
    if limit.rule is Rule.COMBINED:
        yield from _by_members(limit, state, limits)
        return
    silent = limit.rule in (Rule.STALE, Rule.SUSPECT)
    if state.unknown or any(part.doubted for part in state.parts):
        yield NOT_HEARD if silent else NOT_SURE
    if silent:
        yield from _by_silence(limit, state, now_s)
        return
    for part in state.parts:
        over = _over(part)
        for latch in part.latches:
            for english, chinese in _by_number(limit, state, part, latch, now_s):
                yield over[0] + english, over[1] + chinese


def _over(part: JudgedPart) -> Words:
    """Which of several windows."""
    if part.spec is None or len(part.whole.parts) < 2:
        return "", ""
    return f"over {lasting(part.spec.window_s)}: ", f"{lasting(part.spec.window_s, True)}："


def _by_number(limit: Limit, state: Judged, part: JudgedPart, latch: Latch, now_s: float) -> Iterator[Words]:
    colour, zh = latch.level.name.lower(), COLOURS[latch.level]
    if latch.set:
        if latch.level is state.level:
            yield from _left(limit, part, latch, now_s)
        return
    if latch.level <= state.level:
        return
    number = part.value
    if number is not None and latch.low <= number <= latch.high:
        if _stood_s(latch, now_s) >= state.raised_after_s:
            yield f"{colour} is reached and raised if the next reading is so too", f"{zh}已达到，下一读数仍如此即报警"
            return
        left, left_zh = _lasting(limit.hold_s - _stood_s(latch, now_s))
        yield f"{colour} is reached and raised if it lasts {left} longer", f"{zh}已达到，再持续 {left_zh}即报警"
        return
    rising = not isinf(latch.low) and (number is None or number < latch.low)
    at = int(latch.low if rising else latch.high)
    gap = "" if number is None else _show(limit, abs(at - number))
    way, way_zh, more, more_zh = (
        ("or more", "及以上", "more", "再升") if rising else ("or less", "及以下", "less", "再降")
    )
    to_go, to_go_zh = (f": {gap} {more} than now", f"，{more_zh} {gap}") if gap else ("", "")
    yield f"{colour} at {_show(limit, at)} {way}{to_go}", f"{zh}：{_show(limit, at)}{way_zh}{to_go_zh}"


def _left(limit: Limit, part: JudgedPart, latch: Latch, now_s: float) -> Iterator[Words]:
    colour, zh = latch.level.name.lower(), COLOURS[latch.level]
    if latch.kept and part.memory_s == inf:
        yield (
            f"{colour} stands until its `start` is written: the zero is lost",
            f"零点已丢失，写入 start 后方可解除{zh}",
        )
        return
    seen_s = 0.0 if part.since_s is None else now_s - part.since_s
    if latch.kept and seen_s < part.memory_s:
        left, left_zh = _lasting(part.memory_s - seen_s)
        yield (
            f"{colour} stands for {left} longer: something of its window is missing, and until it has been seen again",
            f"时间窗数据有缺失，{zh}至少再保持 {left_zh}：须重新观测完整时间窗",
        )
    if latch.since_s is not None:
        rest_s = limit.clear_hold_s - _stood_s(latch, now_s)
        left, left_zh = _lasting(rest_s)
        if rest_s > 0:
            yield f"{colour} is left if it stays so {left} longer", f"再保持 {left_zh}即解除{zh}"
        else:
            yield f"{colour} is left if the next reading is so too", f"下一读数仍如此即解除{zh}"
    for end, side, side_zh in ((latch.stay_low, "below", "低于"), (latch.stay_high, "above", "高于")):
        if not isinf(end):
            yield f"{colour} is left {side} {_show(limit, int(end))}", f"{side_zh} {_show(limit, int(end))} 时解除{zh}"


def _stood_s(latch: Latch, now_s: float) -> float:
    """For how long the number has stood where it would flip the latch."""
    return 0.0 if latch.since_s is None else now_s - latch.since_s


def _lasting(amount_s: float) -> Words:
    """Rounded as a person would say it."""
    amount_s = max(0.0, amount_s)
    whole_s = round(amount_s) if amount_s < MINUTES_FROM_S else round(amount_s / 60) * 60
    return lasting(whole_s), lasting(whole_s, True)


def _show(limit: Limit, steps: int) -> str:
    return f"{limit.scale.show(steps)} {limit.scale.unit}".rstrip()


def _by_silence(limit: Limit, state: Judged, now_s: float) -> Iterator[Words]:
    stale = limit.rule is Rule.STALE
    since_s = state.last_evidence_s if stale else state.suspect_s
    for latch in state.parts[0].latches:
        if latch.set:
            continue
        rest, rest_zh = _lasting(latch.threshold - (0.0 if since_s is None else now_s - since_s))
        colour, zh = latch.level.name.lower(), COLOURS[latch.level]
        what, what_zh = ("without a good value", "无有效数据") if stale else ("of doubtful values only", "仅有可疑数据")
        yield f"{colour} after {rest} more {what}", f"再 {rest_zh}{what_zh}：{zh}"
    if state.level is not Level.NONE:
        yield "it ends with the next good value", "下一个有效数据即解除"


def _by_members(limit: Limit, state: Judged, limits: Limits) -> Iterator[Words]:
    levels = [limits.judged[member].level for member in limit.judged.members]
    for level in Level:
        if level <= state.level:
            continue
        colour, zh = level.name.lower(), COLOURS[level]
        reached, needed = sum(member >= level for member in levels), limit.judged.votes
        if limit.judged.rollup:
            needed = 1
        yield (
            f"{colour} when {needed} of {len(levels)} stand there or higher, now {reached}",
            f"{len(levels)} 个中 {needed} 个达到{zh}：现有 {reached} 个",
        )
        for made, count, of in limit.judged.rollup:
            if made is level:
                standing = sum(member >= of for member in levels)
                yield (
                    f"{colour} when {count} stand at {of.name.lower()} or higher, now {standing}",
                    f"{count} 个达到{COLOURS[of]}升为{zh}：现有 {standing} 个",
                )
