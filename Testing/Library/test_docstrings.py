"""The examples in docstrings give what they say."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import SegmentPropagateLib

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(SegmentPropagateLib.__path__, "SegmentPropagateLib.")
    if not module.name.endswith("__main__")
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def has_examples(name):
    return ">>> " in Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in MODULES if has_examples(name)])
def test_the_examples_of_a_module_are_so(name, capsys):
    result = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert result.attempted
    assert result.failed == 0, capsys.readouterr().out


def test_geometry_prompts_lanes_and_metrics_have_examples():
    central = {"volumes.geometry", "propagation.prompts", "propagation.lanes", "reports.metrics"}
    assert central <= {name.removeprefix("SegmentPropagateLib.") for name in MODULES if has_examples(name)}
