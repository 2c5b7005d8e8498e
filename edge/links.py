"""Makes the links of a site: what each may use of the gateway is handed to it here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from edge.clock import Clock
from edge.config.site import Link as LinkSite
from edge.config.site import Site
from edge.contract import ClockQuality, Link, LinkSpec, Memory, OpenPort, Port, PortSettings
from edge.errors import PortLost
from edge.link_memory import FileMemory, NoMemory


def open_links(
    site: Site, open_port: OpenPort, clock: Clock, run_blocking: Callable[[Callable[[], Any]], Awaitable[Any]]
) -> dict[str, tuple[Link, float]]:
    """id -> (link, batch_s). Nothing is connected yet."""

    def utc_ms() -> int | None:
        now = clock.now()
        return now.at_ms if now.quality is ClockQuality.TRUSTED else None

    def learn(utc_ms: float, uncertainty_ms: float, source: str) -> None:
        clock.learn(utc_ms, uncertainty_ms, source)

    made = {}
    for link in site.links:
        memory = FileMemory(site.store.folder / f"link.{link.id}", run_blocking)
        opened = _open(site, link, open_port, memory, learn, utc_ms, clock.boot)
        if opened is not None:
            made[link.id] = (opened, link.batch_s)
    return made


def closed_links(site: Site) -> list[Link]:
    """The links as objects that are never run: for what they say of themselves."""
    made = [_open(site, link, _no_port, NoMemory(), lambda *_: None, lambda: None, 0) for link in site.links]
    return [link for link in made if link is not None]


def _open(
    site: Site,
    link: LinkSite,
    open_port: OpenPort,
    memory: Memory,
    learn: Callable[[float, float, str], None],
    utc_ms: Callable[[], int | None],
    boot: int,
) -> Link | None:
    if link.driver.open_link is None:
        return None
    port = next((port for port in site.ports if port.id == link.port), None)
    spec = LinkSpec(
        *(link.id, site.gateway.id, link.settings, open_port, memory, learn, utc_ms, boot, port, link.point_settings)
    )
    return link.driver.open_link(spec)


async def _no_port(settings: PortSettings) -> Port:
    raise PortLost(settings.id, "not opened")
