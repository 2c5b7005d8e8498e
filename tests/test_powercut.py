"""The store, the counters, the config writer: every state a power cut may leave is opened and asked for the promises.

See tests/powercut/README.md. FENGSUI_SEED changes what is chosen by chance.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from tests.powercut.disk import Disk, Kept, Rule
from tests.powercut.explore import Report, explore, rebuild, scratch, states
from tests.powercut.record import Event, Sync, Unseen, record, why_not
from tests.powercut.score import MISSED, lines, score
from tests.powercut.tales import Tale, tale
from tests.powercut.workload import SCENARIOS

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

SEED = int(os.environ.get("FENGSUI_SEED", "1"))
STATES_LEAST = 1000  # on the outbox alone
SCORED = ("life", "restored", "distrusted", "small_files")
SCORE_LEAST = 0.9


@functools.cache
def told(name: str) -> Tale:
    """The recording of a scenario, made once."""
    with scratch() as folder:
        return tale(name, folder)


@functools.cache
def asked(name: str, rule: Rule) -> Report:
    """All its states, asked once."""
    story = told(name)
    return explore(states(story.events, rule, story.start, SEED), story.check)


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("name", SCENARIOS)
def test_whatever_a_cut_leaves_keeps_the_promises(name: str, rule: Rule) -> None:
    report = asked(name, rule)
    assert not report.bad, f"{name}, rule {rule.value}, seed {SEED}:\n" + "\n".join(report.bad)
    assert report.states > (STATES_LEAST if name == "life" else 20)


def test_a_state_is_built_again_from_its_name() -> None:
    story = told("restored")
    found = list(states(story.events, Rule.POSIX, story.start, SEED))[-40]
    assert rebuild(story.events, Rule.POSIX, found.point, found.recipe, story.start, SEED) == found


# -- it proves itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_a_store_that_does_not_wait_for_the_disk_is_found_out(synchronous: str, rule: Rule, tmp_path: Path) -> None:
    story = tale("life", tmp_path, {"FENGSUI_SYNCHRONOUS": synchronous})
    report = explore(states(story.events, rule, story.start, SEED), story.check, enough=1)
    assert report.bad


def test_a_disk_that_lies_is_found_out() -> None:
    """The same calls on a disk whose syncs do nothing."""
    story = told("life")
    unsynced = [event for event in story.events if not isinstance(event, Sync)]
    report = explore(states(unsynced, Rule.EXT4, story.start, SEED), story.check, enough=1)
    assert report.bad


def test_the_lack_of_a_single_sync_is_noticed_or_shown_to_be_redundant(capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = []
    page = []
    for name in SCORED:
        story = told(name)
        found = score(story.events, Rule.POSIX, story.check, asked(name, Rule.POSIX).seen, story.start, SEED)
        verdicts += found
        page += lines(name, found)
    missed = [verdict for verdict in verdicts if verdict.outcome == MISSED]
    shown = 1 - len(missed) / len(verdicts)
    noticed = sum(bool(verdict.noticed) for verdict in verdicts)
    with capsys.disabled():
        print("\n" + "\n".join(page))
        print(f"score: of {len(verdicts)} syncs {noticed} noticed, {shown:.0%} noticed or shown redundant")
    assert shown >= SCORE_LEAST, missed


# -- the tools themselves --------------------------------------------------------------------------------------------

RENAMED = """
import os, sys
folder = sys.argv[1]
for text in ("old", "new"):
    with open(folder + "/file.new", "w") as file:
        file.write(text)
        {sync}
    os.replace(folder + "/file.new", folder + "/file")
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.write(1, text.encode())
"""


def recorded(program: str, folder: Path) -> list[Event]:
    place = folder / "place"
    place.mkdir()
    return record(["-c", program, str(place)], place, folder / "strace.log")


@pytest.mark.parametrize("rule", Rule)
def test_a_file_renamed_before_its_data_is_safe_may_be_empty(rule: Rule, tmp_path: Path) -> None:
    events = recorded(RENAMED.format(sync=""), tmp_path)
    left = {(state.told, state.tree.files.get("file")) for state in states(events, rule)}
    assert (1, b"") in left
    # auto_da_alloc: ext4 has the data of what replaces a file before its name
    assert ((2, b"") in left) is (rule is Rule.POSIX)


@pytest.mark.parametrize("rule", Rule)
def test_a_file_synced_then_renamed_is_the_old_one_or_the_new(rule: Rule, tmp_path: Path) -> None:
    events = recorded(RENAMED.format(sync="file.flush(); os.fsync(file.fileno())"), tmp_path)
    left = {(state.told, state.tree.files.get("file")) for state in states(events, rule)}
    assert left == {(0, None), (0, b"old"), (1, b"old"), (1, b"new"), (2, b"new")}


def test_writes_not_synced_survive_in_any_order_whole_or_torn(tmp_path: Path) -> None:
    program = """
import os, sys
handle = os.open(sys.argv[1] + "/file", os.O_RDWR | os.O_CREAT)
os.pwrite(handle, bytes(2048), 0)
os.fsync(handle)
folder = os.open(sys.argv[1], os.O_RDONLY)
os.fsync(folder)
os.pwrite(handle, b"a" * 1024, 0)
os.pwrite(handle, b"b" * 1024, 1024)
"""
    disk = Disk(Rule.EXT4)
    for event in recorded(program, tmp_path):
        disk.apply(event)
    a, b, none = b"a" * 1024, b"b" * 1024, bytes(1024)
    assert disk.cut({}).files == {"file": none + none}
    assert disk.cut({1: Kept.WHOLE}).files == {"file": none + b}
    assert disk.cut({0: frozenset({1}), 1: Kept.WHOLE}).files == {"file": none[:512] + a[:512] + b}


def test_what_cannot_be_followed_is_said(tmp_path: Path) -> None:
    program = """
import mmap, sys
with open(sys.argv[1] + "/file", "wb+") as file:
    file.truncate(4096)
    mmap.mmap(file.fileno(), 4096)[0] = 1
"""
    with pytest.raises(Unseen, match="mapping"):
        recorded(program, tmp_path)
