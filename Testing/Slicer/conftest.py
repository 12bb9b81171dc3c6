"""Fixtures of the Slicer half: the real MRML of slicer-core, and the panel on stand-in widgets over it.

With REAL_SLICER_PYTHON=<folder that holds slicer/ScriptedLoadableModule.py etc. of a Slicer checkout> the same tests
run on Slicer's own base classes.
"""

import gc
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT / "Testing" / "Harness", ROOT / "SegmentPropagate", ROOT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from slicer_harness import mrml  # noqa: E402
from slicer_harness import panel as harness_panel  # noqa: E402

APPLICATION = harness_panel.bootstrap(
    os.environ.get("REAL_SLICER_PYTHON")
)  # test files import the module when collected


@pytest.fixture(scope="session")
def slicer_app():
    """The `slicer` module with a real scene, real logics, and stand-ins for Qt, ctk and the qMRML widgets."""
    return APPLICATION


@pytest.fixture
def slicer(slicer_app):
    """The `slicer` module on an empty scene and fresh settings; an exception in a Qt slot fails the test."""
    mrml.clear_scene()
    gc.freeze()  # modules and whatever else lives on: each look for garbage in a test costs 20 ms instead of 300
    slicer_app.app.userSettings().clear()
    slicer_app.harness.slotErrors.clear()
    yield slicer_app
    mrml.clear_scene()
    slicer_app.app.processEvents()
    errors = list(slicer_app.harness.slotErrors)
    assert not errors, "\n".join(trace for _signature, trace in errors)


from bench_fixtures import bench, lonelyBench, makeBench, warmWorker  # noqa: E402, F401
from effect_fixtures import effect, makeEffect  # noqa: E402, F401
from panel_fixtures import panel, prompted, reviewed  # noqa: E402, F401
from suggest_fixtures import asked, suggested  # noqa: E402, F401
