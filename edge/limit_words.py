"""A limit explains itself in one sentence, English or Chinese: what is judged, at which numbers, when a level is left.

Pure; made of the settings alone, so the sentence is the rule that runs and not a comment beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from edge.contract import Level, Of, Point, Rule
from edge.limit_nouns import Limit, Part, bands
from edge.measure_nouns import Spec

COLOURS = {Level.BLUE: "蓝色", Level.YELLOW: "黄色", Level.ORANGE: "橙色", Level.RED: "红色"}
UNITS = ((86400, "d", "天"), (3600, "h", "小时"), (60, "min", "分钟"), (1, "s", "秒"))
WHAT = {
    Of.VALUE: ("{point}", "{point}"),
    Of.RATE: ("the rate of change of {point} over {window}", "{point} 在 {window}内的变化速率"),
    Of.SUM: ("the sum of {point} over {window}", "{point} 在 {window}内的累计值"),
    Of.MEAN: ("the mean of {point} over {window}", "{point} 的 {window}平均值"),
    Of.TOTAL: ("the change of {point} from {start}", "{point} 自{start}起的累计变化"),
    Of.DIFFERENCE: ("{point} less {other}", "{point} 与 {other} 之差"),
    Of.RATIO: ("the ratio of {point} to its design value", "{point} 与设计值之比"),
    Of.TANGENT_ANGLE: ("the tangent angle of {point} over {window}", "{point} 的 {window}切线角"),
    Of.TIME_TO_FAILURE: (
        "the forecast time to failure of {point} ({window})",
        "{point} 的预测失稳剩余时间（{window}）",
    ),
    Of.MEMBERS: ("", ""),
}

Number = Callable[[int], str]


def explain(limit: Limit, scale: Point, *, chinese: bool = False) -> str:
    """One sentence. `scale`: what is judged as a point, for its unit and digits."""
    if limit.rule is Rule.COMBINED:
        return _members_zh(limit) if chinese else _members(limit)
    unit = f" {scale.unit}" if scale.unit else ""

    def number(steps: int) -> str:
        return f"{Decimal(steps) * scale.step}{unit}"

    if limit.rule in (Rule.STALE, Rule.SUSPECT):
        return _silence(limit, chinese)
    parts = [_part(limit, part, number, chinese) for part in limit.parts]
    left = _left(limit, number, chinese)
    return ("；" if chinese else "; ").join([*parts, *left]) + ("。" if chinese else ".")


def lasting(seconds: float, chinese: bool = False) -> str:
    """`90 s`, `10 min`, `1 d`: in the largest unit that divides it."""
    for size, name, zh in UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {zh if chinese else name}"
    return f"{seconds:g} {'秒' if chinese else 's'}"


def _colour(level: Level, chinese: bool) -> str:
    return COLOURS[level] if chinese else level.name.lower()


def _what(limit: Limit, spec: Spec | None, number: Number, chinese: bool) -> str:
    if spec is None:
        return limit.point
    start = number(spec.start) if spec.start is not None else "首个读数" if chinese else "its first value"
    window = lasting(spec.window_s, chinese)
    return WHAT[spec.of][chinese].format(point=limit.point, window=window, other=spec.other, start=start)


def _part(limit: Limit, part: Part, number: Number, chinese: bool) -> str:
    if limit.rule in (Rule.OUTSIDE, Rule.INSIDE):
        said = {Rule.OUTSIDE: ("outside", "超出"), Rule.INSIDE: ("within", "落入")}[limit.rule][chinese]
        levels = [
            f"{_colour(level, chinese)} {said} {number(low)} {'至' if chinese else 'to'} {number(high)}"
            for level, low, high in bands(part.thresholds)
        ]
    else:
        said = {Rule.ABOVE: ("or more", "及以上"), Rule.BELOW: ("or less", "及以下")}[limit.rule][chinese]
        levels = [
            f"{_colour(level, chinese)} {number(at)}{said}"
            if chinese
            else f"{_colour(level, chinese)} at {number(at)} {said}"
            for level, at in part.thresholds
        ]
    what = _what(limit, part.spec, number, chinese)
    return f"{what}：{'，'.join(levels)}" if chinese else f"{what}: {', '.join(levels)}"


def _left(limit: Limit, number: Number, chinese: bool) -> list[str]:
    """When a level is left, and how long things must last."""
    said = []
    side = {Rule.ABOVE: ("below", "低于"), Rule.BELOW: ("above", "高于")}.get(limit.rule, ("", ""))[chinese]
    for level, at in limit.clear:
        colour = _colour(level, chinese)
        said.append(f"{colour}在{side} {number(at)} 时解除" if chinese else f"{colour} is left {side} {number(at)}")
    if limit.hysteresis:
        back = number(limit.hysteresis)
        said.append(f"回落超过 {back} 解除" if chinese else f"a level is left more than {back} back")
    if limit.hold_s:
        hold = lasting(limit.hold_s, chinese)
        said.append(f"须持续 {hold}" if chinese else f"it must last {hold}")
    if limit.clear_hold_s:
        gone = lasting(limit.clear_hold_s, chinese)
        said.append(f"恢复 {gone}后解除" if chinese else f"and be gone for {gone}")
    return said


def _silence(limit: Limit, chinese: bool) -> str:
    stale = limit.rule is Rule.STALE
    levels = [(_colour(level, chinese), lasting(after_s, chinese)) for level, after_s in limit.thresholds]
    if chinese:
        what = "无有效数据" if stale else "仅有可疑数据"
        return f"{limit.point} {what}：" + "，".join(f"{after}后{colour}" for colour, after in levels) + "。"
    what = "without a good value" if stale else "with doubtful values only"
    return f"{limit.point} {what}: " + ", ".join(f"{colour} after {after}" for colour, after in levels) + "."


def _members(limit: Limit) -> str:
    names = _listed(limit.members)
    if limit.rollup:
        rules = ", ".join(f"{n} {of.name.lower()} make {level.name.lower()}" for level, n, of in limit.rollup)
        return f"the highest level among {names}; {rules}."
    if limit.votes == 1:
        return f"the highest level among {names}."
    if limit.votes == len(limit.members):
        return f"the level that all of {names} have reached."
    return f"the level that {limit.votes} of {names} have reached."


def _members_zh(limit: Limit) -> str:
    names = _listed(limit.members)
    if limit.rollup:
        rules = "，".join(f"{n} 个{COLOURS[of]}升为{COLOURS[level]}" for level, n, of in limit.rollup)
        return f"取 {names} 中最高级别；{rules}。"
    if limit.votes == 1:
        return f"取 {names} 中最高级别。"
    if limit.votes == len(limit.members):
        return f"{names} 全部达到的级别。"
    return f"{names} 中 {limit.votes} 个达到的级别。"


def _listed(members: Sequence[str]) -> str:
    return ", ".join(members)
