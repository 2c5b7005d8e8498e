"""What the tests of sensor templates share: a site with one templated device, and values that its points can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.config.templates import Template, find, folders, keys_of, names, read_template

TEMPLATES = names(folders())
GATEWAY = '[gateway]\nid = "g"\n\n[[link]]\nid = "up"\ndriver = "mqtt"\nhost = "localhost"\n'
PORT = '\n[[port]]\nid = "bus"\nopen = "serial:/dev/serial/by-id/usb-x"\n'

# Raw numbers of a register that a real instrument shows, by type.
RAWS: Mapping[str, Sequence[float]] = {
    "u16": (1, 655, 41003),
    "i16": (-271, 0, 8123),
    "u32": (3, 70_001, 3_000_000),
    "i32": (-70_001, 5, 90_017),
    "f32": (-12.5, 0, 231.75),
}
DISPLACEMENTS = (-25.0, 0.0, 130.0)
PRESSURES = (0.0, 51.5, 120.0)


def template(name: str) -> Template:
    path = find(name, folders())
    assert path is not None
    return read_template(path)


def device(name: str, more: str = "", *, leave_out: Sequence[str] = ()) -> str:
    """A [[device]] of a template with example numbers for what it asks of the site."""
    keys = [f"{key} = {table.example}" for key, table in keys_of(template(name)).items() if key not in leave_out]
    return "\n".join(['\n[[device]]\nid = "d"', f'device = "{name}"', 'port = "bus"', *keys, more, ""])


def site_text(name: str, more: str = "", *, leave_out: Sequence[str] = ()) -> str:
    return GATEWAY + PORT + device(name, more, leave_out=leave_out)


def all_shorts(name: str) -> list[str]:
    """Short ids of every point, channels one by one."""
    found = []
    for raw in template(name).point:
        found += [str(raw["id"]).replace("{n}", str(n)) for n in range(1, raw.get("channels", 1) + 1)]
    return found


def choice(shorts: Sequence[str]) -> str:
    """The key `points`."""
    quoted = ", ".join(f'"{short}"' for short in shorts)
    return f"points = [{quoted}]"


def values_of(point: Any, settings: Any) -> list[float]:
    """Values that a point can show, among them its ends."""
    if getattr(settings, "vibrating_wire", None) is not None:
        return list(PRESSURES)
    low, high = point.minimum, point.maximum
    if low is not None and high is not None:
        middle = low + (high - low) // (3 * point.step) * point.step
        return [float(low), float(middle), float(high)]
    if not hasattr(settings, "register"):
        return list(DISPLACEMENTS) if settings.offset else [0.0, 4.0, 23.0]
    kind = settings.type or "u16"
    return [raw * settings.scale + settings.offset for raw in RAWS[kind]]


def own_template(folder: Path, name: str, text: str) -> None:
    (folder / "sensors").mkdir(exist_ok=True)
    (folder / "sensors" / f"{name}.toml").write_text(text, "utf-8")
