"""Whether a method stops: its figures on masks that are drawn by hand, and the page that tells them."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def stops():
    folder = str(ROOT / "Testing" / "Benchmarks")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module("stops")
    for name in [name for name in sys.modules if name.startswith(("evaluat", "stop"))]:
        del sys.modules[name]


def volume(*slices, pixels=4):
    masks = np.zeros((10, 4, 4), bool)
    masks[list(slices), 0, :pixels] = True
    return masks


@pytest.mark.parametrize(
    ("found", "truth", "share", "pixels", "past"),
    [
        ((3, 4, 5), (3, 4, 5), 0, 0, 0),
        ((3, 4, 5, 6, 7), (3, 4, 5), 2 / 7, 8 / 7, 5),  # 10 mm beyond one of two ends
        ((3, 4, 5, 7), (3, 4, 5), 1 / 7, 4 / 7, 0),  # a gap: it had stopped
        ((1, 2, 3, 4, 5, 6), (3, 4, 5), 3 / 7, 12 / 7, 7.5),
        ((3, 4, 5, 6), (3, 5, 6), 1 / 7, 4 / 7, 0),  # between its parts
        ((0, 1, 2), (0, 1), 1 / 8, 4 / 8, 5.0),  # an end that is the volume's own does not count
    ],
)
def test_figures_tell_what_lies_beyond_the_object(stops, found, truth, share, pixels, past):
    told = stops.stop_figures(volume(*found), volume(*truth), 5.0)
    assert tuple(told.values()) == pytest.approx((share, pixels, past))


def test_an_object_on_every_slice_has_no_such_figures(stops):
    assert set(stops.stop_figures(volume(1), volume(*range(10)), 5.0).values()) == {None}


def test_the_page_holds_the_figures_of_its_file_and_nothing_else_changes(stops, tmp_path):
    row = {"targets_that_end": 3, "absent_with_false_positive": 0.25, "voxels_per_absent_slice": 12.34}
    row |= {"past_the_end_mm": None, "interval_95": [0.1, 0.4]}
    known = {"drawn": {"copy": {"targets": 4, "open": row, "range": row}}}
    page = tmp_path / "page.md"
    page.write_text(f"before\n{stops.BEGIN}\nold\n{stops.END}\nafter\n")
    stops.write(tmp_path / "stops.json", page, known)
    told = page.read_text()
    assert "| copy | 0.25 (0.10 to 0.40) | 12.3 |  |" in told
    assert told.startswith("before\n")
    assert told.endswith("after\n")
    assert "old" not in told
    assert json.loads((tmp_path / "stops.json").read_text()) == known


def test_the_page_of_the_project_is_that_of_its_figures(stops):
    known = json.loads((stops.HERE / "stops.json").read_text(encoding="utf-8"))
    assert stops.tables(known) in stops.PAGE.read_text(encoding="utf-8")
