"""Counts in sentences: what there is one of is told as one."""

import ast
import re
from pathlib import Path

import SegmentPropagateLib
from SegmentPropagateLib.wording import are, counted

THINGS = ["byte", "case", "file", "image", "label", "minute", "object", "result", "round", "slice", "step", "voxel"]


def test_one_thing_is_told_as_one():
    assert [f"{counted(count, 'slice')} {are(count)}" for count in (0, 1, 2)] == [
        "0 slices are",
        "1 slice is",
        "2 slices are",
    ]


def counts_in(code):
    """Expressions before the plural of a thing in the sentences of some code."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.JoinedStr):
            for value, text in zip(node.values, node.values[1:], strict=False):
                if isinstance(text, ast.Constant) and re.match(rf" ({'|'.join(THINGS)})s\b", text.value):
                    yield ast.unparse(value.value)


def test_sentences_of_the_command_line_know_that_there_may_be_one():
    assert list(counts_in('f"{len(cases)} cases", f"{plane} slices run", f"{it} of stepsons"')) == [
        "len(cases)",
        "plane",
    ]
    folder = Path(SegmentPropagateLib.__file__).parent / "cli"
    found = {
        f"{path.name}: {count}"
        for path in folder.glob("*.py")
        for count in counts_in(path.read_text(encoding="utf-8"))
        if "plane" not in count  # axial slices
    }
    assert found == set()
