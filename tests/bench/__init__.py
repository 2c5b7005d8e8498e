"""Measurements of the running gateway against its targets: `python -m tests.bench`. Not tests: pytest collects none."""
