"""What a process and its children have cost, from /proc (Linux, proc(5)). A process that is gone counts nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat after the command's closing bracket, counted from 0 (proc(5) counts from 1, at the pid).
PARENT, USER, SYSTEM = 1, 11, 12


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a whole process tree: CPU time used, resident memory now, bytes written towards the disk."""

    cpu_s: float
    rss_mb: float
    written_bytes: int


def cost(pid: int) -> Cost:
    """The present cost of `pid` and all its descendants."""
    one = [_one(each) for each in tree(pid)]
    return Cost(sum(c.cpu_s for c in one), sum(c.rss_mb for c in one), sum(c.written_bytes for c in one))


def tree(pid: int) -> list[int]:
    """`pid` and its descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            fields = _stat(int(path.name))
            if fields:
                children.setdefault(int(fields[PARENT]), []).append(int(path.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def _one(pid: int) -> Cost:
    fields = _stat(pid)
    if not fields:
        return Cost(0.0, 0.0, 0)
    cpu_s = (int(fields[USER]) + int(fields[SYSTEM])) / TICKS_PER_S
    rss_mb = int(_keyed(pid, "status").get("VmRSS", "0 kB").split()[0]) / 1000
    return Cost(cpu_s, rss_mb * 1.024, int(_keyed(pid, "io").get("write_bytes", "0")))


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _keyed(pid: int, name: str) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
    except OSError:
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
