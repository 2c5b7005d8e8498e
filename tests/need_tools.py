"""Makes sure that the programs which tests and measurements use beside Python are there, all from Debian.

`make test`, `bench` and `soak` run it first. What is missing is installed when that is possible without a question
(root, or sudo without a password, and apt), without recommended packages and without starting or enabling a service:
Debian's own Mosquitto would take port 1883. Otherwise it says loudly what is missing and what will be left out, and
never fails the run, save under CI=true, where a test that is skipped is a test that is lost. Standard library only; on
a machine without network it gives up after a bounded time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")  # not on a user's PATH in Debian
POLICY = Path("/usr/sbin/policy-rc.d")  # asked by Debian's maintainer scripts before they start a service
UPDATE_TIMEOUT_S = 90
INSTALL_TIMEOUT_S = 240
APT_OPTIONS = ("-o", "Acquire::http::Timeout=15", "-o", "Acquire::Retries=1", "-o", "DPkg::Lock::Timeout=60")


class Tool(NamedTuple):
    """A program, the Debian package it comes with, and what is left out without it."""

    program: str
    package: str
    without: str


TOOLS = (
    Tool("mosquitto", "mosquitto", "tests with a real broker (others use amqtt); comparisons with other gateways"),
    Tool("mosquitto_sub", "mosquitto-clients", "interoperation of the uplink with stock MQTT clients"),
    Tool("mbpoll", "mbpoll", "interoperation of Modbus with libmodbus"),
    Tool("strace", "strace", "power cuts: the record of the store's disk calls"),
)


def main() -> int:
    """The command; returns the exit code."""
    missing = _missing()
    if missing:
        why = _install(missing)
        missing = _missing()
        for tool in missing:
            print(f"need_tools: {tool.program} IS MISSING: left out: {tool.without}", file=sys.stderr)
        if missing:
            packages = " ".join(tool.package for tool in missing)
            print(f"need_tools: {why}. To have them: sudo apt-get install {packages}", file=sys.stderr)
    return 1 if missing and os.environ.get("CI") == "true" else 0


def _missing() -> list[Tool]:
    path = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS])
    return [tool for tool in TOOLS if shutil.which(tool.program, path=path) is None]


def _install(tools: list[Tool]) -> str:
    """Installs the packages of these tools; returns why not all are there, for the case that they are not."""
    if shutil.which("apt-get") is None:
        return "this is not a Debian machine"
    become = _become_root()
    if become is None:
        return "neither root nor sudo without a password"
    packages = [tool.package for tool in tools]
    print(f"need_tools: installing {' '.join(packages)}", file=sys.stderr)
    ours = _forbid_services(become)
    try:
        install = ["install", "-y", "--no-install-recommends", *packages]
        _apt(become, ["update"], UPDATE_TIMEOUT_S)  # if it fails, the lists that are there may do
        done = _apt(become, install, INSTALL_TIMEOUT_S)
    finally:
        if ours:
            _run([*become, "rm", "-f", str(POLICY)])
    if done and "mosquitto" in packages and Path("/run/systemd/system").is_dir():
        _run([*become, "systemctl", "disable", "mosquitto"])  # else it takes port 1883 from the next start on
    return "apt-get failed, see above" if not done else "they were installed and are still not found"


def _become_root() -> list[str] | None:
    """What to put before a command to run it as root; None when that would need a password."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and _run(["sudo", "-n", "true"]):
        return ["sudo", "-n"]
    return None


def _forbid_services(become: list[str]) -> bool:
    """Puts up the sign that no service is to be started; False when the machine has a policy of its own."""
    if POLICY.exists():
        return False
    return _run([*become, "sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}"])


def _apt(become: list[str], arguments: list[str], timeout_s: float) -> bool:
    command = [*become, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", *APT_OPTIONS, *arguments]
    return _run(command, timeout_s, loud=True)


def _run(command: list[str], timeout_s: float = 30, *, loud: bool = False) -> bool:
    """Whether the command ended well in time. Its output goes to standard error, where it is wanted."""
    out = sys.stderr if loud else subprocess.DEVNULL
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=timeout_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"need_tools: {' '.join(command)}: {error}", file=sys.stderr)
        return False
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
