"""A script that has opened the panel in the harness ends as other programs do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
from slicer_harness import mrml, panel
slicer = panel.bootstrap()
widget = panel.load_module(PATH)
slicer.util.addVolumeFromArray(__import__("numpy").zeros((3, 4, 5)))
widget.enter()
slicer.app.processEvents()
panel.unload_module(widget)
mrml.clear_scene()
"""


@pytest.mark.slow
def test_a_script_that_has_opened_the_panel_ends_without_a_crash(tmp_path):
    path = ROOT / "SegmentPropagate" / "SegmentPropagate.py"
    folders = (ROOT, ROOT / "SegmentPropagate", ROOT / "Testing" / "Harness")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders)), "QT_QPA_PLATFORM": "offscreen"}
    script = SCRIPT.replace("PATH", repr(str(path)))
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
