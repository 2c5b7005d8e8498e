"""What the tests share: the words that the world's plays leave at the end of the run."""

from __future__ import annotations

import pytest

WORLD = "world"  # a test's property: a line of the account


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the account of the world's plays, also when they ran in other processes."""
    reports = [
        report for found in terminalreporter.stats.values() for report in found if hasattr(report, "user_properties")
    ]
    lines = [str(text) for report in reports for name, text in report.user_properties if name == WORLD]
    if lines:
        terminalreporter.section("the world")
        for line in sorted(set(lines)):
            terminalreporter.line(line)
