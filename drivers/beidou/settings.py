"""Keys of a Beidou `[[link]]` and of its points in the site file, and what can be wrong with them. Opens nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

LARGEST_ADDRESS = 99_999_999  # 8 digits: platforms of BDS-3 are 1595xxxx, cards of BDS-2 have 7
NO_CARD_ADDRESS = 2_097_151  # 21 bits of ones: what a terminal without a card prints
SERVICE_MAXIMUM_BITS = 14_000  # regional short message of BDS-3, of its service description
LEAST_BITS = 168  # A4, 12 bytes of seal and 8 bytes to say something with

# Ids of BDS-3 beams go to 21, older dialects have fewer.
READS = "^(signal|beams|card|feedback|battery|wait|latitude|longitude|height|satellites|beam-([1-9]|1[0-9]|2[01]))$"


class BeidouLink(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """Keys of `[[link]]` beside `id`, `driver`, `port` and `batch`."""

    province: Annotated[
        int, Meta(ge=1, le=LARGEST_ADDRESS, description="number of the province's commanding card, where messages go")
    ]
    limit_bits: (
        Annotated[
            int,
            Meta(
                ge=LEAST_BITS,
                le=SERVICE_MAXIMUM_BITS,
                description="bits of one message, by the card's contract; left out: what the terminal says of its card",
            ),
        ]
        | None
    ) = None
    encoding: Annotated[
        Literal["mixed", "code"],
        Meta(description='content on BDS-3: "mixed" (3, with A4) or "code" (2, plain hex) for terminals that refuse 3'),
    ] = "mixed"


class BeidouPoint(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """Keys of a `[[link.point]]` beside the common ones."""

    read: Annotated[
        str,
        Meta(
            pattern=READS,
            description='what of the link: "signal" (best beam), "beams" (good ones), "beam-1" to "beam-21", "card", '
            '"feedback", "battery", "wait", "latitude", "longitude", "height" or "satellites"',
        ),
    ]


def check_link(settings: BeidouLink) -> Sequence[str]:
    """Sentences about keys that are wrong."""
    if settings.province == NO_CARD_ADDRESS:
        return [f"province = {NO_CARD_ADDRESS} is what a terminal prints that has no card: write the card's own number"]
    return []
