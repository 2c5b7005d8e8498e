"""Beidou RDSS short-message terminals: `wire` the three dialects, `link` the way out."""

from __future__ import annotations

from edge.contract import Driver

DRIVER = Driver(name="beidou")
