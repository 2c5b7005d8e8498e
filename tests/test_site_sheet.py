"""A site as packets see it: small ones fit, large ones are said, none stops anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import Site, load
from edge.site_sheet import longest_sheet, too_large

HEAD = """
[gateway]
id = "g"
[[port]]
id = "bus"
open = "tcp:127.0.0.1:1"
[[link]]
id = "fibre"
driver = "mqtt"
host = "127.0.0.1"
[[device]]
id = "d"
driver = "modbus"
port = "bus"
"""


def site(folder: Path, points: int, limits_each: int = 0) -> Site:
    point = '[[device.point]]\nid = "{i}-{pad}"\nunit = "m"\nstep = 0.001\nregister = {i}\n'
    limit = '[[limit]]\nid = "l{i}-{k}-{pad}"\nname = "{name}"\npoint = "{i}-{pad}"\nabove = {{ red = {k} }}\n'
    text = HEAD + "".join(point.format(i=i, pad="p" * 30) for i in range(points))
    for k in range(limits_each):
        text += "".join(limit.format(i=i, k=k + 1, pad="p" * 30, name="尾矿库浸润线" * 10) for i in range(points))
    file = folder / "site.toml"
    file.write_text(text)
    return load(file)


def test_a_usual_site_fits(tmp_path: Path) -> None:
    assert too_large(site(tmp_path, 100, 1), [16384]) is None


@pytest.mark.parametrize(("points", "limits_each", "limits_kept"), [(1000, 1, True), (1000, 4, False)])
def test_too_many_limits_go_without_names_or_at_all(
    tmp_path: Path, points: int, limits_each: int, limits_kept: bool
) -> None:
    sheet = longest_sheet(site(tmp_path, points, limits_each))
    assert bool(sheet.limits) is limits_kept
    assert all(limit.name == "" for limit in sheet.limits)


def test_a_site_that_no_link_can_describe_is_said_with_what_to_write(tmp_path: Path) -> None:
    large = site(tmp_path, 2000)
    said = too_large(large, [300])
    assert said is not None
    assert "write mtu = " in said
    needed = int(said.split("write mtu = ")[1].split()[0])
    assert too_large(large, [needed]) is None
    assert too_large(large, [needed - 1]) is not None
