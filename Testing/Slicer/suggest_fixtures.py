"""Suggestions over a real scene and logic: asked for, and come."""

import pytest
from SegmentPropagateSlicer.Values.Suggestion import Support
from SegmentPropagateSlicer.Worklist.Segments import segmentsByName
from suggest_double import SuggestingProcess, answer, draft

SHAPE = (20, 24)
LEFT, RIGHT = (slice(4, 12), slice(3, 9)), (slice(4, 12), slice(8, 16))
DOUBT = "They agree on little of it."
DRAFTS = (
    draft(1, "Organ", index=6, box=LEFT, ends=(2, 9), shape=SHAPE),
    draft(2, "Spleen", index=6, box=RIGHT, ends=(None, 8), shape=SHAPE),
    draft(3, "Pancreas", "unsure", index=7, box=LEFT, ends=(5, 8), reason=DOUBT, shape=SHAPE),
    draft(4, "Stomach", "not here", reason="It lies beyond the field of view of the image.", shape=SHAPE),
)


@pytest.fixture
def asked(makeBench, warmWorker):
    """Suggestions are being made; one segment, empty and without keys."""
    bench = makeBench(process=SuggestingProcess(warmWorker), key=None)
    bench.suggestions = bench.logic.suggestions
    bench.logic.suggest(Support(folders=("/finished",)), ["Organ", "Spleen", "Pancreas", "Stomach"])
    return bench


@pytest.fixture
def suggested(asked):
    """They have come."""
    answer(asked.process, DRAFTS)
    return asked


def use(bench, seconds=None):
    """Use what is ticked, as the panel does."""
    find, make = lambda name: named(bench, name), lambda one: bench.addSegment(one.name)
    return bench.logic.useSuggestions(find, make, seconds)


def named(bench, name):
    return segmentsByName(bench.segmentation).get(name.casefold())
