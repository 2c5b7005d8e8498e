"""The service unit is understood by systemd and leaves little open."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent / "deploy" / "fengsui.service"
MAX_EXPOSURE_TENTHS = 15  # 1.5 of 10: what is reachable with serial ports and the network (systemd 252)

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="SYSTEMD IS NOT INSTALLED: the service unit was not checked"
)


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text().replace("/opt/fengsui/bin/fengsui", sys.executable)  # a program that is here
    copy = tmp_path / "fengsui.service"
    copy.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "fengsui" in line] == []
    assert done.returncode == 0, done.stderr


def test_the_unit_leaves_little_open() -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MAX_EXPOSURE_TENTHS}", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-400:] + done.stderr
