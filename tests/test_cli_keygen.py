"""keygen as a technician meets it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.cli.site import fingerprint
from edge.cli.verbs import fengsui


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(fengsui, [str(argument) for argument in arguments])


def test_keygen_makes_a_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        done = run("keygen", tmp_path / "a.key")
    finally:
        os.umask(before)
    text = (tmp_path / "a.key").read_text()
    key = bytes.fromhex(text.strip())
    assert (done.exit_code, len(key), stat.S_IMODE((tmp_path / "a.key").stat().st_mode)) == (0, 32, 0o600)
    assert fingerprint(key) in done.stdout
    assert text.strip() not in done.stdout
    run("keygen", tmp_path / "b.key")
    assert (tmp_path / "b.key").read_text() != text


def test_keygen_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text("precious")
    (tmp_path / "link.key").symlink_to(tmp_path / "elsewhere")
    for name in ("a.key", "link.key"):
        done = run("keygen", tmp_path / name)
        assert (done.exit_code, done.stdout) == (5, "")
        assert "not overwritten" in done.stderr
    assert (tmp_path / "a.key").read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()


def test_keygen_says_which_folder_is_missing(tmp_path: Path) -> None:
    done = run("keygen", tmp_path / "no" / "a.key")
    assert done.exit_code == 5
    assert f"mkdir -p {tmp_path / 'no'}" in done.stderr


def test_keygen_leaves_nothing_half_made_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    done = run("keygen", tmp_path / "a.key")
    assert done.exit_code == 5
    assert "No space left on device" in done.stderr
    assert not (tmp_path / "a.key").exists()
