"""Whatever stands in a site file: a site or sentences, never a crash; and steps that change no verdict."""

from __future__ import annotations

import copy
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import duration_ms, size_bytes
from edge.config.judge import read_limit
from edge.config.plugs import Drivers
from edge.config.reader import Reader
from edge.config.tables import LimitTable
from edge.config.units import show_bytes, show_ms
from edge.config.walk import Walk
from edge.contract import Point
from tests.config_sites import DRIVERS, WATCHED

TREE: dict[str, Any] = tomllib.loads(WATCHED)

scalars = st.one_of(
    st.none().map(lambda _: "x"),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        ["bus", "piezo", "fake", "out", "radio", "narrow", "level", "10s", "1MB", "serial:/dev/ttyS0", "red"]
    ),
    st.datetimes(),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["id", "red", "point", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a tree."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path] * bool(path) + [place for key, child in items for place in places(child, (*path, key))]


PLACES = places(TREE)


@st.composite
def broken_trees(draw: st.DrawFn) -> dict[str, Any]:
    tree = copy.deepcopy(TREE)
    for _ in range(draw(st.integers(1, 4))):
        *path, last = draw(st.sampled_from(PLACES))
        node: Any = tree
        for key in path:
            if not isinstance(node, dict | list):
                break
            is_there = key in node if isinstance(node, dict) else isinstance(key, int) and key < len(node)
            if is_there:
                node = node[key]
        action = draw(st.sampled_from(["replace", "remove", "add"]))
        if not isinstance(node, dict):
            continue
        if action == "replace":
            node[str(last)] = draw(values)
        elif action == "remove":
            node.pop(last, None)
        else:
            node[draw(st.text(min_size=1, max_size=8))] = draw(values)
    return tree


@settings(deadline=None)  # a busy machine is no failure
@given(broken_trees())
def test_a_broken_file_gives_a_site_or_sentences(tree: dict[str, Any]) -> None:
    reader = Reader(Path("/etc/fengsui"))
    site = Walk(reader, Drivers(DRIVERS)).site(Path("/etc/fengsui/site.toml"), tree)
    assert (site is None) == bool(reader.problems)
    assert all(problem.isprintable() and len(problem) < 1000 for problem in reader.problems)


steps = st.decimals("0.0000001", "100", places=7).filter(lambda step: step > 0)


@settings(deadline=None)
@given(
    step=steps,
    threshold=st.floats(-1e6, 1e6, allow_nan=False),
    value=st.integers(-(10**9), 10**9),
    is_above=st.booleans(),
)
def test_a_threshold_in_steps_decides_as_the_one_in_units(
    step: Decimal, threshold: float, value: int, is_above: bool
) -> None:
    point = Point("p", "m", step, None, None, 1000, "d")
    levels = {"red": threshold}
    table = LimitTable(id="l", point="p", above=levels if is_above else None, below=None if is_above else levels)
    reader = Reader(Path("/"))
    limit = read_limit(reader, (), table, {"p": point})
    assert limit is not None, reader.problems
    [(_, in_steps)] = limit.thresholds
    exact = Decimal(repr(threshold))
    for near in (value, in_steps, in_steps - 1, in_steps + 1):
        in_units = near * step
        assert (near >= in_steps if is_above else near <= in_steps) == (
            in_units >= exact if is_above else in_units <= exact
        )


@settings(deadline=None)
@given(st.integers(0, 10**12))
def test_durations_and_sizes_come_back_as_written(amount: int) -> None:
    assert duration_ms(show_ms(amount)) == amount
    assert size_bytes(show_bytes(amount)) == amount


@pytest.mark.parametrize(
    ("text", "amount_ms"),
    [("100ms", 100), ("10s", 10_000), ("5min", 300_000), ("1h", 3_600_000), ("2d", 172_800_000), ("1.5 s", 1500)],
)
def test_durations(text: str, amount_ms: int) -> None:
    assert duration_ms(text) == amount_ms


@pytest.mark.parametrize(
    ("text", "amount_bytes"), [("200MB", 200_000_000), ("64MiB", 67_108_864), ("4kB", 4000), ("1.5GB", 1_500_000_000)]
)
def test_sizes(text: str, amount_bytes: int) -> None:
    assert size_bytes(text) == amount_bytes


@settings(deadline=None)
@given(st.text(max_size=12))
def test_what_is_no_duration_is_a_sentence(text: str) -> None:
    for parse in (duration_ms, size_bytes):
        try:
            assert parse(text) >= 0
        except ValueError as error:
            assert text in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "text", ["", "10", "s", "-1s", "1e3s", "10 S", "5m", "1.0005s", "٣s", "1h30min", "0.1B", "4KB"]
)
def test_refused_amounts(text: str) -> None:
    for parse in (duration_ms, size_bytes):
        with pytest.raises(ValueError, match="is not a"):
            parse(text)
