"""The world's standard site: pond.toml with a head and three ways out. Pure text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sim.world.scenario_site import Ends, whole_site

BODY = Path(__file__).with_name("pond.toml")
LINKS = ("fibre", "cellular", "beidou")
QUOTA = "16MB"  # some days of rounds: what is older is folded


def standard_site(
    key_path: str = Ends().key,
    store_path: str = Ends().store,
    hosts: Mapping[str, tuple[str, int]] | None = None,
    *,
    quota: str = QUOTA,
) -> str:
    """A whole site file. `hosts`: link -> (address, port) of the broker, the world's own where left out."""
    ends = Ends(roads=hosts or {}, key=key_path, store=store_path)
    return whole_site("pond-1", LINKS, BODY.read_text("utf-8"), ends, quota=quota)
