"""Drafts: what a proposal may say, and the sources that make them."""

import subprocess
import sys

import numpy as np
import pytest

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.prompting.source import SOURCES, Proposal, Support, find_source
from SegmentPropagateLib.volumes.geometry import Geometry, Plane
from SegmentPropagateLib.volumes.labels import Labels
from SegmentPropagateLib.volumes.volume import Volume

SHAPE = (6, 8, 10)
GEOMETRY = Geometry(SHAPE, np.diag([1.0, 1.0, 3.0, 1.0]))
VOLUME = Volume(np.zeros(SHAPE, np.int16), GEOMETRY, "image.nrrd")
MASK = np.ones((2, 2), bool)


def drawn(geometry=GEOMETRY):
    labels = np.zeros(SHAPE, np.uint8)
    labels[2, 1:4, 1:4] = 1
    labels[4, 1:6, 1:7] = 1
    labels[:, 7, 9] = 2
    return Support(Labels((labels,), geometry))


def test_the_slice_on_which_a_label_is_largest_is_proposed_as_it_is_drawn():
    support = drawn()
    proposal, missing = find_source("drawn").propose(VOLUME, [1, 9], support, Plane.AXIAL)
    assert (proposal.label, proposal.status, proposal.key_slice, proposal.confidence) == (1, "found", 4, 1.0)
    assert (proposal.first, proposal.last) == (None, None)  # outlines do not tell where the object ends
    assert np.array_equal(proposal.mask, support.drawn.mask(1)[4])
    assert list(proposal.prompts) == [4]
    assert (missing.status, missing.mask, missing.prompts) == ("not here", None, {})
    assert "Label 9" in missing.reason


def test_drafts_lie_along_the_plane_and_the_first_of_equal_slices_is_taken():
    (proposal,) = find_source("drawn").propose(VOLUME, [2], drawn(), Plane.SAGITTAL)
    assert proposal.key_slice == 9
    assert proposal.mask.shape == (6, 8)
    (proposal,) = find_source("drawn").propose(VOLUME, [2], drawn(), Plane.AXIAL)
    assert proposal.key_slice == 0


def test_labels_that_are_missing_or_lie_elsewhere_are_refused():
    with pytest.raises(InputError, match="needs labels"):
        find_source("drawn").propose(VOLUME, [1], Support(), Plane.AXIAL)
    with pytest.raises(InputError, match="another grid"):
        find_source("drawn").propose(VOLUME, [1], drawn(Geometry(SHAPE, np.eye(4))), Plane.AXIAL)


def test_a_draft_cannot_be_changed_by_whoever_drew_it():
    mask = MASK.copy()
    proposal = Proposal(1, "found", 3, mask)
    mask[:] = False
    assert proposal.mask.all()
    with pytest.raises(ValueError, match="read-only"):
        proposal.mask[0, 0] = False


@pytest.mark.parametrize(
    "parts",
    [
        {"status": "found"},
        {"status": "unsure", "key_slice": 3},
        {"status": "found", "key_slice": 3, "mask": ~MASK},
        {"status": "found", "key_slice": 3, "mask": MASK, "first": 4},
        {"status": "found", "key_slice": 3, "mask": MASK, "last": 2},
        {"status": "found", "key_slice": -1, "mask": MASK},
        {"status": "found", "key_slice": 3, "mask": MASK, "confidence": 1.5},
        {"status": "not here"},
        {"status": "not here", "key_slice": 3, "reason": "It ends before."},
    ],
    ids=lambda parts: "-".join(str(value) for key, value in parts.items() if key != "mask"),
)
def test_a_draft_that_contradicts_itself_is_refused(parts):
    with pytest.raises(InputError):
        Proposal(1, **parts)


def test_every_source_is_found_by_its_name_and_an_unknown_one_names_them():
    for name in SOURCES:
        assert callable(find_source(name).propose)
    with pytest.raises(InputError, match=r"'atlantis'.*drawn"):
        find_source("atlantis")


def test_a_source_without_a_network_loads_no_torch():
    code = "import sys; from SegmentPropagateLib.prompting.source import find_source; find_source('drawn')"
    code += "; [find_source(name) for name in ('atlas', 'draft', 'carried-points')]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
