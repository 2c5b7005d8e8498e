"""The site file as JSON Schema (draft 2020-12), for editors such as VS Code with a TOML extension.

Made of the same structs that read the file, with the keys of all installed drivers. May not be needed to run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge.config.expand import CHOICE_KEY, POINT_KEY, TEMPLATE_KEY
from edge.config.plugs import Drivers
from edge.config.tables import (
    ActionTable,
    DevicePointTable,
    DeviceTable,
    GatewayTable,
    LimitTable,
    PointTable,
    PortTable,
    SiteTable,
    StoreTable,
    link_tables,
    output_tables,
)
from edge.contract import Driver

Schema = dict[str, Any]
DESIGN: Schema = {
    "type": "object",
    "description": 'Numbers of the site\'s own design by name; a limit or a device has "$name" or "$name * 1.1"',
    "properties": {
        "must": {
            "type": ["array", "number", "string"],
            "items": {"type": "string"},
            "description": 'What is always so, "0 < least < most": mixed up numbers are found',
        }
    },
    "additionalProperties": {"type": ["number", "string"], "description": "A text is a number that is still asked for"},
}


def schema(drivers: Mapping[str, Driver] | None = None) -> Schema:
    """JSON schema of a site file; `drivers` replaces the installed ones. One that fails to load is left out."""
    installed = Drivers(drivers)
    found = {name: driver for name in installed.installed() if isinstance(driver := installed.load(name), Driver)}
    top = _object(SiteTable)
    keys = top["properties"]
    keys["gateway"], keys["store"] = _object(GatewayTable), _object(StoreTable)
    keys["design"] = DESIGN
    keys["port"]["items"], keys["limit"]["items"] = _object(PortTable), _object(LimitTable)
    devices = {name: driver for name, driver in found.items() if driver.device}
    by_hand = [_device(name, driver) for name, driver in devices.items()]
    keys["device"]["items"] = _any_of([*by_hand, *(_templated(name, driver) for name, driver in devices.items())])
    keys["action"]["items"] = _object(ActionTable)
    keys["output"]["items"] = _any_of([_output(name, driver) for name, driver in found.items() if driver.output])
    keys["link"]["items"] = _any_of([_link(name, driver) for name, driver in found.items() if driver.link])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Fengsui site file", **top}


def _object(kind: type[Any]) -> Schema:
    """A struct's schema, references written out, unknown keys refused."""
    made, components = msgspec.json.schema_components([kind], schema_hook=_path)
    whole: Schema = _inline(made[0], components)
    whole.pop("title", None)
    whole["additionalProperties"] = False
    return whole


def _path(kind: type[Any]) -> Schema:
    if kind is Path:
        return {"type": "string", "description": "A file, relative to the site file"}
    raise NotImplementedError


def _inline(node: Any, components: Mapping[str, Any]) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            return _inline(components[node["$ref"].rpartition("/")[2]], components)
        return {key: _inline(value, components) for key, value in node.items()}
    return [_inline(item, components) for item in node] if isinstance(node, list) else node


def _joined(common: type[Any], others: Sequence[type[Any] | None], name: str | None) -> Schema:
    whole = _object(common)
    for other in others:
        if other is None:
            continue
        extra = _object(other)
        whole["properties"].update(extra["properties"])
        whole["required"] = [*whole.get("required", []), *extra.get("required", [])]
    if name is not None:
        whole["properties"]["driver"] = {"const": name}
    return whole


def _device(name: str, driver: Driver) -> Schema:
    whole = _joined(DeviceTable, [driver.device], name)
    whole["properties"]["point"]["items"] = _joined(DevicePointTable, [driver.point], None)
    return whole


def _templated(name: str, driver: Driver) -> Schema:
    """A device that names a sensor template of this driver: any number may be a template's own, and a point needs no
    key but those that it changes."""
    whole = _device(name, driver)
    properties = whole["properties"]
    del properties["driver"]
    properties[TEMPLATE_KEY] = {"type": "string", "description": "A sensor template: fengsui sensors lists them"}
    properties[CHOICE_KEY] = {
        "type": "array",
        "items": {"type": "string"},
        "description": "Which of the template's points are read; all that are not optional, by default",
    }
    point = properties["point"]["items"]
    point["properties"][POINT_KEY] = {"type": "string", "description": "The template's point that this changes"}
    point.pop("required", None)
    whole["required"] = ["id", "port", TEMPLATE_KEY]
    whole["additionalProperties"] = {"type": "number", "description": "A number that the template asks for"}
    return whole


def _link(name: str, driver: Driver) -> Schema:
    common, *further = link_tables(driver)
    whole = _joined(common, [*further, driver.link], name)
    if driver.link_point is not None:
        whole["properties"]["point"]["items"] = _joined(PointTable, [driver.link_point], None)
    return whole


def _output(name: str, driver: Driver) -> Schema:
    common, *further = output_tables(driver)
    return _joined(common, [*further, driver.output], name)


def _any_of(kinds: list[Schema]) -> Schema:
    return {"anyOf": kinds} if kinds else {}
