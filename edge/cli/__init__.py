"""`fengsui`: the technician's commands. The daemon, `fengsui run SITE`, starts without what only screens need.

Exit codes: 0 fine, 1 it can not be done (a packet that is not genuine), 2 wrong usage, 3 a wrong site file, 4 no daemon
to ask, 5 refused. Messages to people go to stderr with what to type next; stdout is the answer, with --json for
programs. The verbs stand in verbs.py.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path

EXIT_FAILED = 1
EXIT_SITE_FILE = 3
EXIT_NO_DAEMON = 4
EXIT_REFUSED = 5


def main() -> None:
    """The console script."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a console without Chinese shows ?, it does not crash
    if len(sys.argv) == 3 and sys.argv[1] == "run" and not sys.argv[2].startswith("-"):
        from edge.cli.gateway import gateway  # the daemon would keep a megabyte of click for as long as it runs

        sys.exit(gateway(Path(sys.argv[2])))
    from edge.cli.verbs import fengsui

    fengsui(prog_name="fengsui")
