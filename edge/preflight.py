"""Is the disk under the store fit for it? Sentences with what to do, before the power cut shows it.

What keeps a committed reading is the chain commit -> fsync -> file system -> disk, and a mount option can break it
without anybody noticing: `data=writeback` and missing barriers corrupt SQLite at a power cut (the field has seen a
vendor's image do so), a tmpfs or an overlay forgets everything, a network disk goes when the network goes. All of it
stands in /proc/self/mountinfo (proc(5)) and statvfs(3).

`judge` is pure: parsed mounts and numbers in, findings out. `look` asks the machine; it blocks as the disk does and
never raises. Nothing here changes anything, and no finding keeps the daemon from starting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

MOUNTINFO = Path("/proc/self/mountinfo")
IN_MEMORY = frozenset({"tmpfs", "ramfs", "rootfs"})
NO_DISK = frozenset(  # what the kernel shows of itself: no file can be kept there
    {"proc", "sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs", "devpts", "mqueue", "bpf"}
)
NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "afs", "fuse.sshfs"})
SHARED = frozenset({"9p", "virtiofs"})  # a folder of the host of a virtual machine
NO_JOURNAL = frozenset({"vfat", "msdos", "exfat", "ext2", "ntfs", "fuseblk"})  # a cut may cost more than the last write
NO_BARRIER = frozenset({"nobarrier", "barrier=0", "barrier=none", "fsync_mode=nobarrier"})  # ext4, btrfs, xfs; f2fs
WAL_RESET_FIRST, WAL_RESET_FIXED = (3, 7, 0), (3, 51, 3)  # sqlite.org/wal.html#walresetbug
WAL_RESET_BACKPORTS = ((3, 44, 6), (3, 50, 7))
_OCTAL = re.compile(r"\\([0-7]{3})")


class Finding(NamedTuple):
    """One sentence for the person at the box. `stops`: nothing can be kept on that disk as it is."""

    text: str
    stops: bool = False


class Mount(NamedTuple):
    """A line of mountinfo. `device`: "major:minor"; `options`: of the mount and of its file system."""

    point: str
    device: str
    kind: str
    source: str
    options: frozenset[str]


class Place(NamedTuple):
    """The store's folder, or what there is of the way to it: `there` is the folder itself, or its nearest ancestor."""

    folder: str
    there: str
    is_folder: bool
    writable: bool
    free_bytes: int
    own_bytes: int  # what the store takes already
    free_files: int | None  # None: the file system does not count them
    broken_bytes: int = 0  # of stores that were put aside


class Look(NamedTuple):
    """What was found, and the device ("major:minor") that the store wears, "" where that is not known."""

    findings: list[Finding]
    device: str


def parse_mountinfo(text: str) -> list[Mount]:
    """The mounts of /proc/self/mountinfo, in its order; lines that are none are passed over."""
    mounts = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        if len(fields) < 6 or len(rest) < 3:
            continue
        options = frozenset((*fields[5].split(","), *rest[2].split(",")))
        mounts.append(Mount(_plain(fields[4]), fields[2], rest[0], _plain(rest[1]), options))
    return mounts


def mount_of(mounts: Iterable[Mount], path: str) -> Mount | None:
    """The mount an absolute path without links lies on: the longest that leads to it, the last of equals covers."""
    found: Mount | None = None
    for mount in mounts:
        leads = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if leads and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def judge(mount: Mount | None, place: Place, quota_bytes: int) -> list[Finding]:
    """What is wrong with the disk under the store, the worst first."""
    if mount is not None and mount.kind in NO_DISK:
        where = f"{place.folder} lies on {mount.point} ({mount.kind})"
        return [Finding(f"{where}, which is no disk: nothing can be kept there. Put [store] path on one", True)]
    findings = _place_findings(place, quota_bytes)
    if mount is not None:
        findings += _mount_findings(mount, place.folder)
    return sorted(findings, key=lambda finding: not finding.stops)


def sqlite_note(version: tuple[int, ...]) -> str | None:
    """A warning when this SQLite has the WAL-reset bug, None when it does not (sqlite.org/wal.html#walresetbug)."""
    fixed = any(version[:2] == fixed[:2] and version >= fixed for fixed in WAL_RESET_BACKPORTS)
    if not WAL_RESET_FIRST <= version < WAL_RESET_FIXED or fixed:
        return None
    name = ".".join(map(str, version))
    return (
        f"SQLite {name} can damage a file that two connections write (WAL-reset bug, mended in 3.51.3, 3.50.7, "
        "3.44.6). The gateway uses one and locks the file: leave outbox.db alone while it runs, ask `fengsui outbox`; "
        "take a newer SQLite when the system offers one"
    )


def look(folder: Path, quota_bytes: int) -> Look:
    """Looks at the machine. Blocks as long as the disk does. Never raises."""
    try:
        mounts = parse_mountinfo(MOUNTINFO.read_text("utf-8", "replace"))
    except OSError:
        mounts = []  # no /proc: what statvfs says is still worth having
    try:
        place = _place(folder)
    except OSError as error:
        return Look([Finding(f"the store's folder {folder} can not be looked at: {error.strerror or error}")], "")
    mount = mount_of(mounts, place.there)
    return Look(judge(mount, place, quota_bytes), mount.device if mount else "")


def _place(folder: Path) -> Place:
    real = Path(os.path.realpath(folder))
    there = next((path for path in (real, *real.parents) if path.exists()), Path("/"))
    room = os.statvfs(there)
    here = there == real and there.is_dir()
    return Place(
        folder=str(folder),
        there=str(there),
        is_folder=there.is_dir(),
        writable=os.access(there, os.W_OK | os.X_OK),
        free_bytes=room.f_bavail * room.f_frsize,
        own_bytes=_taken_bytes(real, "outbox.db*") if here else 0,
        free_files=room.f_favail if room.f_files else None,
        broken_bytes=_taken_bytes(real, "outbox.broken-*") if here else 0,
    )


def _taken_bytes(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.glob(pattern))


def _place_findings(place: Place, quota_bytes: int) -> list[Finding]:
    if not place.is_folder:
        return [Finding(f"{place.there} is a file: the store at {place.folder} needs a folder; move it away", True)]
    findings = []
    if not place.writable:
        what = "write to" if place.there == place.folder else "make folders in"
        who = "the service, as another user, may (as that user: runuser -u fengsui -- fengsui check SITE)"
        findings.append(Finding(f"you may not {what} {place.there}, where the store is to be; {who}"))
    room_bytes = place.free_bytes + place.own_bytes
    if room_bytes < quota_bytes:
        findings.append(
            Finding(
                f"the disk under {place.folder} has room for {room_bytes / 1e6:.0f} MB, the quota is "
                f"{quota_bytes / 1e6:.0f} MB: it is full before the oldest readings make room, and what comes then is "
                "only in memory. Free space on it, or set [store] quota lower"
            )
        )
    if place.broken_bytes:
        findings.append(
            Finding(
                f"broken stores that were put aside take {place.broken_bytes / 1e6:.1f} MB beside the quota "
                f"({place.folder}/outbox.broken-*): what could be read of them was saved. Copy them off if somebody is "
                "to find out why, and delete them"
            )
        )
    if place.free_files is not None and place.free_files < 100:
        findings.append(Finding(f"the disk under {place.folder} has no room for more files (df -i): delete some"))
    return findings


def _mount_findings(mount: Mount, folder: str) -> list[Finding]:
    where = f"{folder} lies on {mount.point} ({mount.kind})"
    if "ro" in mount.options:
        why = "a damaged file system is made so by the kernel: look at dmesg; else: mount -o remount,rw"
        return [Finding(f"{where}, which is read-only: nothing can be kept there; {why} {mount.point}", True)]
    if mount.kind in IN_MEMORY:
        return [Finding(f"{where}, which is memory: every reading goes with the power. Put [store] path on a disk")]
    if mount.kind == "overlay":
        return [
            Finding(
                f"{where}: what is written there may be forgotten at the next start (raspi-config: Performance, "
                "Overlay File System; a container without a volume). Put [store] path on a partition of its own"
            )
        ]
    if mount.kind in NETWORK | SHARED:
        return [
            Finding(
                f"{where}, a disk of another machine: it goes when that goes. Put [store] path on a disk of this box"
            )
        ]
    return _option_findings(mount, where)


def _option_findings(mount: Mount, where: str) -> list[Finding]:
    findings = []
    if mount.kind in NO_JOURNAL:
        text = f"{where}, which keeps no journal: a power cut may damage all of it. Use ext4 for [store] path"
        findings.append(Finding(text))
    if "data=writeback" in mount.options:
        take_out = f"take it out of /etc/fstab, and: tune2fs -o journal_data_ordered {mount.source}; then restart"
        findings.append(
            Finding(f"{where} with data=writeback: a power cut may put old bytes into the store; {take_out}")
        )
    without = sorted(mount.options & NO_BARRIER)
    if without:
        take_out = f"take {without[0]} out of /etc/fstab, then restart"
        findings.append(Finding(f"{where} with {without[0]}: a power cut may take what was committed; {take_out}"))
    return findings


def _plain(field: str) -> str:
    """mountinfo writes space, tab, newline and backslash as octal."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), field)
