"""fengsui-sim."""


def main() -> None:
    raise SystemExit("nothing here yet")
