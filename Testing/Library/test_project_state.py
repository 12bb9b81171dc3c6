"""The state of a project is the replay of its ledger."""

import random

import pytest

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.worklist import DONE, IN_WORK, PROPOSED, TO_DO
from SegmentPropagateLib.project.ledger import Ledger
from SegmentPropagateLib.project.state import State, replay

BEGUN = {"event": "begun", "model": "starter", "sha256": ""}
NAMES = ("anna", "berta", "clara")


def proposed(name, file="p"):
    made = {"model": "starter", "model_sha256": "m", "file": file, "sha256": "s", "prompts": {}}
    return {"event": "proposed", "case": name, **made}


def opened(name):
    return {"event": "opened", "case": name, "work": f"work/{name}"}


def accepted(name, voxels=3):
    cost = {
        "slices": 4,
        "slices_edited": 1,
        "voxels_changed": voxels,
        "added_path_mm": 2.5,
        "seconds": None,
        "largest_area": 20,
    }
    return {"event": "accepted", "case": name, "file": f"labels/{name}", "sha256": "a", **cost}


def learned(number, kept_start=False):
    facts = {"training": [], "held_out": [], "dsc": 0.9, "start_dsc": 0.8, "kept_start": kept_start}
    return {"event": "learned", "model": f"models/round-{number}.pt", "sha256": "l", **facts}


def using(model):
    return {"event": "using", "model": model, "sha256": "u"}


def test_a_case_goes_from_to_do_to_done():
    entries, states = [BEGUN], []
    for entry in (None, proposed("anna"), opened("anna"), accepted("anna")):
        entries += [entry] if entry else []
        states.append(replay(entries).case("anna").state)
    assert states == [TO_DO, PROPOSED, IN_WORK, DONE]


def test_a_new_proposal_for_a_case_in_work_leaves_it_there():
    state = replay([BEGUN, proposed("anna"), opened("anna"), proposed("anna", "q")])
    assert state.case("anna").state == IN_WORK
    assert state.case("anna").proposal["file"] == "q"


def test_learning_begins_a_round_and_changes_the_model_unless_the_start_was_better():
    entries = [BEGUN, accepted("anna"), learned(1), accepted("berta"), learned(2, kept_start=True), using("classical")]
    rounds = [(state.round, state.model) for state in (replay(entries[:n]) for n in (2, 3, 5, 6))]
    assert rounds == [(1, "starter"), (2, "models/round-1.pt"), (3, "models/round-1.pt"), (3, "classical")]
    assert [entry["round"] for entry in replay(entries).accepted] == [1, 2]


def test_a_case_that_is_accepted_again_counts_in_the_round_of_its_first_time():
    state = replay([BEGUN, accepted("anna"), learned(1), accepted("anna", 7), accepted("berta")])
    assert state.done == ("anna", "berta")
    assert state.since_learning == 1
    assert state.case("anna").accepted["voxels_changed"] == 7


@pytest.mark.parametrize("seed", range(20))
def test_any_course_of_events_is_found_again_by_replay(tmp_path, seed):
    rng = random.Random(seed)
    ledger, written = Ledger.begin(tmp_path / "ledger.jsonl", BEGUN), [BEGUN]
    for number in range(rng.randrange(12)):
        name = rng.choice(NAMES)
        chances = (proposed(name, f"p{number}"), opened(name), accepted(name, number), learned(number, number % 2 == 0))
        entry = rng.choice([*chances, using(f"m{number}")])
        ledger.append(entry)
        written.append(entry)
    state = replay(ledger.read())
    assert state == replay(written)
    assert state == expected(written)


def expected(entries):
    """The state, told in another way: by the last entry that has a say on each matter."""

    def last(event, name):
        return next((e for e in reversed(entries) if e["event"] == event and e["case"] == name), None)

    def round_at(place):
        return 1 + sum(entry["event"] == "learned" for entry in entries[:place])

    cases, words = {}, {"opened": IN_WORK, "accepted": DONE}
    for name in dict.fromkeys(entry["case"] for entry in entries if "case" in entry):
        known = [entry["event"] for entry in entries if entry.get("case") == name and entry["event"] in words]
        place = next((n for n in range(len(entries))[::-1] if entries[n] is last("accepted", name)), None)
        result = None if place is None else {**entries[place], "round": round_at(place)}
        state = words[known[-1]] if known else PROPOSED
        work = (last("opened", name) or {"work": ""})["work"]
        cases[name] = type(State("").case(""))(state, last("proposed", name), result, work)
    models = [e["model"] for e in entries if e["event"] in ("begun", "using", "learned") and not e.get("kept_start")]
    done = tuple({**e, "round": round_at(n)} for n, e in enumerate(entries) if e["event"] == "accepted")
    return State(models[-1], cases, tuple(e for e in entries if e["event"] == "learned"), done)


@pytest.mark.parametrize(
    ("entries", "line"),
    [
        ([], "is empty"),
        ([opened("anna")], "Line 1 .* 'opened'"),
        ([BEGUN, BEGUN], "Line 2 .* 'begun'"),
        ([BEGUN, {"event": "flown"}], "Line 2 .* 'flown'"),
        ([BEGUN, {"event": ["accepted"]}], "Line 2"),
        ([BEGUN, {**accepted("anna"), "slices": "4"}], "Line 2 .* lacks 'slices'"),
        ([BEGUN, {"event": "opened", "work": "w"}], "Line 2 .* lacks 'case'"),
        ([BEGUN, {k: v for k, v in accepted("anna").items() if k != "seconds"}], "Line 2 .* lacks 'seconds'"),
    ],
)
def test_entries_that_make_no_sense_are_refused_by_their_line(entries, line):
    with pytest.raises(InputError, match=line):
        replay(entries)
