"""The part of a site file that a scenario does not write: [gateway], [store], and a [[link]] for each way it names; and
site files whose ports and keys are to be others.

In the world each road is found by the address its link names, so each has one of its own. Relative paths: the world
plays in the folder of the site file. Pure text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

BEIDOU, BEIDOU_PORT = "beidou", "bd"
PROVINCE_CARD = 1_595_001
LEVEL_3_BITS = 628  # of one message of a civil card: packets of 77 bytes
BATCH = "10s"
QUOTA = "200MB"
KEY_FILE = "gateway.key"
DEFAULT_PORT = 1883
MOST_ID = 32  # characters of an id

# What a link of this name is like, beyond the address. Satellite: a ping costs about 200 bytes, and an alarm is to
# wait for one packet at most (0.25 s at 64 kbit/s).
PROFILES: Mapping[str, str] = {
    "fibre": "",
    "cellular": 'keepalive = "60s"\n',
    "satellite": 'keepalive = "300s"\nmtu = 2048\nwindow = 4\n',
    BEIDOU: "",
}


@dataclass(frozen=True, slots=True)
class Ends:
    """Where the wires end. `roads`: link -> (address, port) of the broker, the world's own by default."""

    roads: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    terminal: str = "serial:/dev/beidou"
    key: str = KEY_FILE
    store: str = "store"
    socket: str = "s"
    version: str = "5"

    def road(self, link: str) -> tuple[str, int]:
        """Every link of the world has an address of its own."""
        return self.roads.get(link, (f"10.0.{list(PROFILES).index(link)}.1", DEFAULT_PORT))


def whole_site(
    gateway: str, links: Sequence[str], body: str, ends: Ends | None = None, *, batch: str = BATCH, quota: str = QUOTA
) -> str:
    """A site file. `gateway`: its id; `links`: names of PROFILES; `body`: ports, devices, limits."""
    ends = ends or Ends()
    head = (
        f'[gateway]\nid = "{gateway_id(gateway)}"\nkey = {json.dumps(ends.key)}\n'
        f"socket = {json.dumps(ends.socket)}\n\n"
        f"[store]\npath = {json.dumps(ends.store)}\nquota = {json.dumps(quota)}\n\n"
    )
    ways = [_beidou(ends) if link == BEIDOU else _road(link, ends, batch) for link in links]
    return head + body + "\n" + "\n".join(ways)


def gateway_id(name: str) -> str:
    """A gateway's id out of a scenario's file name, whatever characters that has."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:MOST_ID].strip("-") or "gateway"


def _road(link: str, ends: Ends, batch: str) -> str:
    host, port = ends.road(link)
    return (
        f'[[link]]\nid = "{link}"\ndriver = "mqtt"\nhost = "{host}"\nport = {port}\nversion = "{ends.version}"\n'
        f"batch = {json.dumps(batch)}\n{PROFILES[link]}"
    )


def _beidou(ends: Ends) -> str:
    return (
        f'[[port]]\nid = "{BEIDOU_PORT}"\nopen = "{ends.terminal}"\nbaud = 115200\n\n[[link]]\nid = "{BEIDOU}"\n'
        f'driver = "beidou"\nport = "{BEIDOU_PORT}"\nprovince = {PROVINCE_CARD}\nlimit_bits = {LEVEL_3_BITS}\n'
    )


def with_ports(text: str, opens: dict[str, str]) -> str:
    """A site file's text whose ports of these ids open something else. A port's keys stand one a line."""
    lines = text.splitlines()
    for first, end in _tables(lines, "[[port]]"):
        keys = {line.partition("=")[0].strip(): place for place, line in enumerate(lines[first:end], first)}
        name = lines[keys["id"]].partition("=")[2].partition("#")[0].strip().strip("\"'") if "id" in keys else ""
        if name in opens and "open" in keys:
            lines[keys["open"]] = f"open = {json.dumps(opens[name], ensure_ascii=False)}"
    return "\n".join(lines) + "\n"


def with_key(text: str, table: str, key: str, value: str) -> str:
    """The same with one key of the only `[table]` set, written if it is not there."""
    lines = text.splitlines()
    for first, end in _tables(lines, f"[{table}]"):
        places = [place for place in range(first, end) if lines[place].partition("=")[0].strip() == key]
        if places:
            lines[places[0]] = f"{key} = {json.dumps(value, ensure_ascii=False)}"
        else:
            lines.insert(first + 1, f"{key} = {json.dumps(value, ensure_ascii=False)}")
        break
    return "\n".join(lines) + "\n"


def _tables(lines: Sequence[str], head: str) -> list[tuple[int, int]]:
    """Where the tables with this head begin, and where the next table does."""
    heads = [place for place, line in enumerate(lines) if line.lstrip().startswith("[")] + [len(lines)]
    found = [lines[place].partition("#")[0].replace(" ", "").strip() == head for place in heads[:-1]]
    return [edges for edges, is_it in zip(pairwise(heads), found, strict=True) if is_it]
