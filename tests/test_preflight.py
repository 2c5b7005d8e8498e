"""What is said of the disk under the store before a power cut says it: real lines of mountinfo, and this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from edge import outbox_file, preflight
from edge.cli import EXIT_SITE_FILE
from edge.cli.verbs import fengsui
from edge.outbox_file import forget_old
from edge.preflight import Mount, Place, judge, look, mount_of, parse_mountinfo, sqlite_note
from tests.test_cli_site import SITE

# A Raspberry Pi with its overlay file system on, a data partition, a USB stick and a share; shortened.
PI = r"""22 27 0:20 / /proc rw,relatime shared:12 - proc proc rw
27 1 0:26 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work
31 27 179:1 / /boot/firmware ro,relatime shared:27 - vfat /dev/mmcblk0p1 ro,fmask=0022,codepage=437,errors=remount-ro
35 27 0:24 / /run rw,nosuid,nodev shared:11 - tmpfs tmpfs rw,size=774560k,mode=755
40 27 179:3 / /var/lib/fengsui rw,noatime shared:30 - ext4 /dev/mmcblk0p3 rw,data=ordered
41 40 179:3 /x /var/lib/fengsui/bad rw,noatime - ext4 /dev/mmcblk0p3 rw,nobarrier,data=writeback
42 27 8:1 / /media/usb\040stick rw,nosuid shared:40 master:2 - vfat /dev/sda1 rw,uid=1000
43 27 0:50 / /mnt/share rw - nfs4 server:/export rw,vers=4.2
44 43 179:4 / /mnt/share rw - ext4 /dev/mmcblk0p4 ro
"""
ROOM = Place("/var/lib/fengsui/store", "/var/lib/fengsui/store", True, True, 10**10, 0, 10**6)


def found(path: str) -> Mount:
    mount = mount_of(parse_mountinfo(PI), path)
    assert mount is not None
    return mount


def test_a_folder_under_proc_is_no_place_for_a_store() -> None:
    [finding] = judge(found("/proc/1"), ROOM._replace(folder="/proc/1/store", there="/proc/1", free_bytes=0), 10**9)
    assert finding.stops
    assert finding.text == (
        "/proc/1/store lies on /proc (proc), which is no disk: nothing can be kept there. Put [store] path on one"
    )


def said(mount: Mount | None, place: Place = ROOM, quota_bytes: int = 10**9) -> list[str]:
    return [finding.text for finding in judge(mount, place, quota_bytes)]


@pytest.mark.parametrize(
    ("path", "point", "kind"),
    [
        ("/var/lib/fengsui/store", "/var/lib/fengsui", "ext4"),
        ("/var/lib/fengsui", "/var/lib/fengsui", "ext4"),
        ("/var/lib/fengsui2", "/", "overlay"),
        ("/media/usb stick/store", "/media/usb stick", "vfat"),
        ("/mnt/share/a", "/mnt/share", "ext4"),  # the later mount covers the earlier one
        ("/", "/", "overlay"),
    ],
)
def test_the_mount_a_path_lies_on(path: str, point: str, kind: str) -> None:
    assert found(path)[0] == point
    assert found(path).kind == kind


def test_a_sound_disk_needs_no_word() -> None:
    assert said(found("/var/lib/fengsui/store")) == []
    assert said(None) == []


@pytest.mark.parametrize(
    ("path", "words", "stops"),
    [
        ("/var/lib/fengsui/bad/store", "with data=writeback: a power cut may put old bytes", False),
        ("/var/lib/fengsui/bad/store", "with nobarrier: a power cut may take what was committed", False),
        ("/run/store", "which is memory: every reading goes with the power", False),
        ("/home/x", "Overlay File System", False),
        ("/boot/firmware/x", "is read-only: nothing can be kept there", True),
        ("/mnt/share/x", "is read-only", True),
        ("/media/usb stick/x", "keeps no journal", False),
    ],
)
def test_what_harms_is_said_with_what_to_do(path: str, words: str, stops: bool) -> None:
    findings = judge(found(path), ROOM, 10**9)
    assert [finding.stops for finding in findings if words in finding.text] == [stops]
    assert all(any(verb in f.text for verb in ("Put", "take", "look at", "Use")) for f in findings)


@pytest.mark.parametrize("option", ["nobarrier", "barrier=0", "barrier=none", "fsync_mode=nobarrier"])
def test_every_spelling_of_no_barriers_is_known(option: str) -> None:
    line = f"40 27 179:3 / / rw,noatime - ext4 /dev/mmcblk0p3 rw,{option}"
    assert any(option in text for text in said(mount_of(parse_mountinfo(line), "/store")))


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_disk_of_another_machine_is_said(kind: str) -> None:
    line = f"40 27 0:77 / /mnt rw - {kind} server:/x rw"
    assert any("another machine" in text for text in said(mount_of(parse_mountinfo(line), "/mnt/store")))


def test_room_is_held_against_the_quota() -> None:
    tight = ROOM._replace(free_bytes=400_000_000)
    assert "room for 400 MB, the quota is 1000 MB" in said(None, tight)[0]
    assert said(None, tight._replace(own_bytes=600_000_000)) == []  # what the store has already is its own
    assert "no room for more files" in said(None, ROOM._replace(free_files=3))[0]
    assert said(None, ROOM._replace(free_files=None)) == []  # btrfs does not count them


def test_a_folder_that_is_not_ours_or_none() -> None:
    assert "you may not write to" in said(None, ROOM._replace(writable=False))[0]
    above = ROOM._replace(writable=False, there="/var/lib")
    assert "you may not make folders in /var/lib" in said(None, above)[0]
    file = judge(None, ROOM._replace(is_folder=False), 10**9)
    assert [finding.stops for finding in file] == [True]


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 44, 7), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_which_sqlite_has_the_wal_reset_bug(version: tuple[int, int, int], affected: bool) -> None:
    note = sqlite_note(version)
    assert (note is not None) == affected
    if note:
        assert ".".join(map(str, version)) in note


@given(st.text())
def test_no_text_is_too_strange_for_mountinfo(text: str) -> None:
    mounts = parse_mountinfo(text)
    mount_of(mounts, "/a/b")


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs"))), st.sampled_from(["/", "/a", "/a/b"]))
def test_names_with_octal_come_back(name: str, folder: str) -> None:
    point = f"{folder}{name}"
    written = "".join(f"\\{ord(char):03o}" if char in " \\" else char for char in point)
    assert parse_mountinfo(f"1 2 3:4 / {written} rw - ext4 /dev/x rw")[0].point == point


def test_this_machine_is_looked_at(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there" / "yet"
    seen = look(folder, 10_000_000)
    here = mount_of(parse_mountinfo(preflight.MOUNTINFO.read_text()), os.path.realpath(tmp_path))
    assert here is not None
    assert seen.device == here.device
    assert [finding for finding in seen.findings if finding.stops] == []
    file = tmp_path / "file"
    file.write_text("x")
    assert "is a file" in look(file, 1).findings[0].text
    assert "is a file" in look(file / "store", 1).findings[0].text
    assert "quota" in " ".join(finding.text for finding in look(tmp_path, 10**18).findings)


def checked(file: Path, *options: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(fengsui, ["check", str(file), *options])
    return done.exit_code, done.stdout, done.stderr


def test_check_says_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the command, with the mounts of another machine."""
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text("1 0 179:2 / / rw - ext4 /dev/mmcblk0p2 rw,data=writeback\n")
    monkeypatch.setattr(preflight, "MOUNTINFO", mountinfo)
    file = tmp_path / "site.toml"
    file.write_text(SITE)
    code, out, _ = checked(file)
    assert code == 0
    assert "note: " in out
    assert "data=writeback" in out
    assert "site.toml is right." in out
    mountinfo.write_text("1 0 179:2 / / ro - ext4 /dev/mmcblk0p2 ro\n")
    code, out, err = checked(file)
    assert code == EXIT_SITE_FILE
    assert "error: " in err
    assert "read-only" in err
    code, out, _ = checked(file, "--json")
    answer = json.loads(out)
    assert (code, answer["ok"], len(answer["problems"])) == (EXIT_SITE_FILE, False, 1)


def test_broken_stores_that_were_put_aside_are_told(tmp_path: Path) -> None:
    assert said(None) == []
    assert not any("put aside" in finding.text for finding in look(tmp_path, 1).findings)
    (tmp_path / "outbox.broken-20260101T000000Z.db").write_bytes(bytes(2_000_000))
    assert any("put aside take 2.0 MB" in finding.text for finding in look(tmp_path, 1).findings)


@pytest.mark.parametrize(("free_mb", "share", "kept"), [(100, 0.5, 3), (4, 0.5, 2), (0, 0.5, 2), (0, 0.1, 1)])
def test_broken_stores_leave_room_on_a_small_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_mb: int, share: float, kept: int
) -> None:
    for number in range(4):  # the last one is the newest, by its change
        file = tmp_path / f"outbox.broken-{9 - number}.db"
        file.write_bytes(bytes(2_000_000))
        Path(f"{file}-wal").write_bytes(bytes(500_000))
        os.utime(file, (number, number))
    free = os.statvfs_result((1000, 1000, 10**6, free_mb * 1000, free_mb * 1000, 1000, 1000, 1000, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: free)
    monkeypatch.setattr(outbox_file, "QUARANTINE_SHARE", share)
    for _ in range(2):
        forget_old(tmp_path)
        assert sorted(file.name for file in tmp_path.glob("*.db")) == [f"outbox.broken-{6 + i}.db" for i in range(kept)]
        assert len(list(tmp_path.glob("*-wal"))) == kept
        free = os.statvfs_result((*free[:3], *[int(free_mb * 1000 + (4 - kept) * 2500)] * 2, *free[5:]))
