"""Numbers that a site of each profile could have, for tests: made up, in no relation to any real site."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edge.config.profiles import Profile

NUMBERS: Mapping[str, Mapping[str, float]] = {
    "tailings": {
        "pond_level_operating": 417,
        "pond_level_preflood": 418,
        "pond_level_flood": 420.5,
        "freeboard_least": 0.7,
        "freeboard_orange": 1.0,
        "beach_least": 70,
        "beach_orange": 80,
        "phreatic_1_least": 4,
        "phreatic_2_least": 6,
        "dam_rate_yellow": 5,
        "dam_rate_red": 20,
        "dam_total_orange": 150,
        "bank_total_red": 100,
        "radar_height": 424,
        "crest_less_radar": -2.1,
        "probe_depth_1": 15,
        "probe_depth_2": 20,
    },
    "coal-gas": {},
    "open-pit": {"slope_height": 120, "uniform_velocity": 1.5},
    "landslide": {
        "uniform_velocity": -0.8,
        "crack_rate_yellow": 2,
        "crack_rate_orange": 5,
        "crack_rate_red": 20,
        "tilt_rate_yellow": 0.1,
        "tilt_rate_red": 0.5,
        "soil_wet": 38,
        "stream_height": 612.4,
        "stream_orange": 609,
        "stream_red": 610,
        "stream_fast": 3,
    },
    "river": {
        "river_warning": 31.5,
        "river_guaranteed": 33,
        "river_rise": 0.8,
        "reservoir_flood_limit": 105,
        "reservoir_design_flood": 108.4,
        "reservoir_check_flood": 109.9,
        "rain_1h_prepare": 40,
        "rain_3h_prepare": 60,
        "rain_6h_prepare": 80,
        "rain_1h_leave": 55,
        "rain_3h_leave": 85,
        "rain_6h_leave": 110,
        "river_height": 40,
        "probe_height": 88,
    },
    "tank-farm": {
        "toxic_oel": 7,
        "toxic_status": 256,
        "hot_work": 10,
        "tank_height": 14,
        "tank_high": 11,
        "tank_high_high": 12,
        "tank_low": 1,
        "pressure_high": 1.5,
        "pressure_high_high": 2,
        "temperature_high": 40,
        "temperature_high_high": 50,
    },
    "dust": {
        "dust_high": 50,
        "dust_high_high": 200,
        "pressure_low": 400,
        "pressure_full_scale": 3000,
        "dust_full_scale": 1000,
        "temperature_full_scale": 400,
        "pressure_high": 1800,
        "inlet_high": 60,
        "inlet_high_high": 70,
        "hopper_high": 60,
        "hopper_high_high": 70,
        "bearing_high": 80,
        "bearing_high_high": 95,
    },
    "forest-fire": {"hot": 32, "dry_yellow": 35, "dry_red": 20, "litter_dry": 12},
}
USUAL: Sequence[tuple[str, float | None]] = (
    (r"_register$", None),
    (r"(?<!_full)_scale$|_resolution$", 0.01),
    (r"_(east|north|height)0$", 4_321.5),
    (r"_zero$", 12.5),
    (r"_reach$|_rating$", 30),
    (r"_full_scale$", 100),
    (r"_span$", 300),
    (r"_rating_[12]$", 30),
)


def numbers_of(profile: Profile) -> Iterator[tuple[str, float]]:
    """A number for everything it asks for."""
    for index, name in enumerate(profile.asks):
        if name in NUMBERS[profile.name]:
            yield name, NUMBERS[profile.name][name]
            continue
        [usual] = [index if number is None else number for pattern, number in USUAL if re.search(pattern, name)]
        yield name, usual


def filled_in(profile: Profile) -> str:
    """The profile's text as a technician leaves it."""
    text = profile.text.replace('id = ""', 'id = "g-1"').replace('host = ""', 'host = "broker.example"')
    for index in range(text.count('open = ""')):
        text = text.replace('open = ""', f'open = "tcp:10.0.0.{index + 1}:502"', 1)
    for name, number in numbers_of(profile):
        text, count = re.subn(rf'^{name} = ".*"$', f"{name} = {number}", text, count=1, flags=re.MULTILINE)
        assert count == 1
    return text


def write(folder: Path, profile: Profile, text: str) -> Path:
    """A site file `site.toml`."""
    file = folder / f"{profile.name}.toml"
    file.write_text(text, "utf-8")
    return file
