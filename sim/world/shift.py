"""The same story at another time: real plays happen now, some months after the world began. Pure."""

from __future__ import annotations

from dataclasses import replace

from sim.world.nouns import Story


def later(story: Story, by_s: float) -> Story:
    """All times of a story, its end too, so much later."""
    return replace(
        story,
        lasts_s=story.lasts_s + by_s,
        troubles=tuple(replace(it, at_s=it.at_s + by_s) for it in story.troubles),
        expects=tuple(replace(it, from_s=it.from_s + by_s, by_s=it.by_s + by_s) for it in story.expects),
    )
