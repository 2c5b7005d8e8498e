"""Beidou RDSS short-message terminals as a link: packets as messages, 77 bytes a minute where every road is cut.

Imports neither the grammar nor the link, which are loaded when a link is made: checking a site file stays quick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.beidou.settings import BeidouLink, BeidouPoint, check_link
from edge.contract import Driver, Link, LinkSpec


def open_link(spec: LinkSpec) -> Link:
    """Makes the link; connects nothing yet."""
    from drivers.beidou.link import MessagesOverBeidou

    return MessagesOverBeidou(spec)


def explain(text: str) -> Sequence[Mapping[str, Any]]:
    """What sentences or hexadecimal frames of a terminal mean."""
    from drivers.beidou.explain import explain as explained

    return explained(text)


DRIVER = Driver(
    name="beidou",
    link=BeidouLink,
    open_link=open_link,
    check_link=check_link,
    link_point=BeidouPoint,
    link_port=True,
    explain=explain,
)
