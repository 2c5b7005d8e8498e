"""The site file: one TOML file that says what a gateway reads, judges, keeps and sends.

    site = load(Path("site.toml"))       frozen settings, or SiteFileError with every mistake in the file
    schema()                             JSON schema of the file, for editors

`tables` holds the keys as written, `site` what the daemon gets, `load` turns one into the other. May not touch a
port, the store or the network: a check on a desk must say the same as the box in the field. Drivers are found by
entry point and imported only when the file names them.
"""

from edge.config.load import load
from edge.config.schema import schema
from edge.config.site import Device, Gateway, Limit, Link, Port, Site, Store, Wire
from edge.config.units import duration_ms, size_bytes

__all__ = [
    "Device",
    "Gateway",
    "Limit",
    "Link",
    "Port",
    "Site",
    "Store",
    "Wire",
    "duration_ms",
    "load",
    "schema",
    "size_bytes",
]
