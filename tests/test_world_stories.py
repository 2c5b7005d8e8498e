"""Random stories and the shrinker: what is drawn is fair, and the same in every process; what is left is small."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import Site
from edge.config import load as load_site
from sim.world import misfortune, story_file
from sim.world.misfortune import DAY_S, FAMILY_OF, story_of
from sim.world.nouns import KINDS, Story, Trouble
from sim.world.scenario_check import problems_of
from sim.world.shrink import LEAST_S, shrink

SITE_FILE = Path(__file__).parent.parent / "deploy" / "sites" / "tailings_pond.toml"


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(SITE_FILE)


def a_story(seed: int, site: Site, days: float = 1.0) -> Story:
    return story_of(seed, days, "", site)


def test_stories_make_sense_and_end_in_calm(site: Site) -> None:
    for seed in range(30):
        story = a_story(seed, site)
        assert problems_of(story, site) == []
        assert max(trouble.end_s for trouble in story.troubles) <= DAY_S - misfortune.LAST_CALM_S + 0.1
        assert list(story.troubles) == sorted(story.troubles, key=lambda trouble: trouble.at_s)


def test_a_short_story_has_a_short_calm(site: Site) -> None:
    story = a_story(3, site, 0.25)
    assert all(trouble.end_s <= DAY_S / 4 * 5 / 6 + 0.1 for trouble in story.troubles)
    assert story.troubles


def test_every_kind_is_met_within_few_stories(site: Site) -> None:
    found = Counter(trouble.kind for seed in range(30) for trouble in a_story(seed, site).troubles)
    assert found.keys() == KINDS.keys()
    assert found["power.cut"] > 30 * 3  # several a day


def test_power_is_cut_twice_and_in_drains(site: Site) -> None:
    close = drains = 0
    for seed in range(30):
        troubles = a_story(seed, site).troubles
        cuts = [trouble for trouble in troubles if trouble.kind == "power.cut"]
        roads = [trouble for trouble in troubles if trouble.kind == "road.cut"]
        close += sum(0 < b.at_s - a.end_s <= 120.2 for a in cuts for b in cuts)
        drains += sum(0 < cut.at_s - road.end_s <= 40.2 for road in roads for cut in cuts)
    assert close > 10
    assert drains > 10


def test_nothing_of_a_family_overlaps_on_one_thing(site: Site) -> None:
    for seed in range(10):
        ends: dict[tuple[str, str], float] = {}
        for trouble in a_story(seed, site, 5).troubles:
            key = (FAMILY_OF.get(trouble.kind, trouble.kind), trouble.on)
            assert trouble.at_s > ends.get(key, -1.0), trouble
            ends[key] = trouble.end_s


def test_one_kind_less_changes_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = a_story(7, site).troubles
    for gone in ("point.spike", "disk.full", "port.unplug"):
        kinds = {kind: what for kind, what in KINDS.items() if kind != gone}
        monkeypatch.setattr(misfortune, "KINDS", kinds)
        assert a_story(7, site).troubles == tuple(trouble for trouble in whole if trouble.kind != gone)


def test_the_same_in_every_process(site: Site) -> None:
    script = (
        f"from pathlib import Path; from edge.config import load; from sim.world.misfortune import story_of\n"
        f"print(story_of(5, 1, '', load(Path({str(SITE_FILE)!r}))).troubles)"
    )
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": hash_seed},
            cwd=SITE_FILE.parent.parent.parent,
        )
        assert done.stdout.strip() == str(a_story(5, site).troubles)


def test_seeds_differ(site: Site) -> None:
    assert a_story(1, site).troubles != a_story(2, site).troubles


def test_a_story_survives_its_file(site: Site, tmp_path: Path) -> None:
    story = replace(a_story(4, site), site=SITE_FILE.read_text("utf-8"), weather={"rain": 2.5})
    story_file.save(story, tmp_path / "a.json")
    assert story_file.load(tmp_path / "a.json") == story


def test_a_file_that_is_no_story_is_named(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    for text in ("", "{}", '{"name": 3}', "title = 1"):
        path.write_text(text)
        with pytest.raises(story_file.StoryFileError, match=r"b\.json: holds no story"):
            story_file.load(path)


# -- the shrinker


def made_of(count: int, length_s: float = 100.0, lasts_s: float = 100_000.0) -> Story:
    return Story("s", "", 1, lasts_s, tuple(Trouble("road.cut", 10.0 * i, length_s, str(i)) for i in range(count)))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=4))))
def test_exactly_the_guilty_are_left(case: tuple[int, set[int]]) -> None:
    count, guilty = case

    def fails(story: Story) -> bool:
        return guilty <= {int(trouble.on) for trouble in story.troubles}

    small = shrink(made_of(count), fails, 10_000)
    assert {int(trouble.on) for trouble in small.troubles} == guilty
    assert all(trouble.for_s == LEAST_S for trouble in small.troubles)


def test_few_tries_for_one_among_many() -> None:
    asked = []

    def fails(story: Story) -> bool:
        asked.append(story)
        return any(trouble.on == "77" for trouble in story.troubles)

    small = shrink(made_of(100), fails, 200)
    assert [trouble.on for trouble in small.troubles] == ["77"]
    assert len(asked) < 40  # two a halving, then the lengths


def test_no_more_tries_than_allowed_and_nothing_twice() -> None:
    asked: list[Story] = []

    def fails(story: Story) -> bool:
        asked.append(story)
        return len(story.troubles) >= 3 and {"1", "50", "98"} <= {trouble.on for trouble in story.troubles}

    small = shrink(made_of(100), fails, 25)
    assert len(asked) == 25
    assert len({(story.troubles, story.lasts_s) for story in asked}) == 25
    assert fails(small)


def test_lengths_are_cut_as_far_as_the_failure_stays() -> None:
    small = shrink(made_of(3, 1000.0), lambda story: any(trouble.for_s > 60 for trouble in story.troubles), 1000)
    assert [60 < trouble.for_s <= 125 for trouble in small.troubles] == [True]


def test_the_end_comes_nearer_but_the_calm_stays() -> None:
    story = made_of(2, 50.0, 10_000.0)
    calm_s = 10_000.0 - 60.0
    small = shrink(story, lambda it: any(trouble.on == "0" for trouble in it.troubles), 1000)
    assert small.lasts_s == small.troubles[0].end_s + calm_s


def test_progress_is_told() -> None:
    said: list[str] = []
    shrink(made_of(8), lambda story: len(story.troubles) >= 2, 100, said.append)
    assert said[0] == "try 1: 4 troubles, 100000 s"


def test_what_fails_without_any_trouble_needs_none() -> None:
    assert shrink(made_of(20), lambda _story: True, 100).troubles == ()
