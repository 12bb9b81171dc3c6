"""What the command imports while it reads."""

import subprocess
import sys

import pytest

CODE = """
import sys, threading
from SegmentPropagateLib.models.loading import import_ahead
import_ahead(sys.argv[1])
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join()
print('torch' in sys.modules, 'SegmentPropagateLib.propagators.tracking.engine' in sys.modules)
"""


@pytest.mark.parametrize(("model", "loaded"), [("starter", "True True"), ("classical", "False False")])
def test_a_network_is_imported_ahead_and_the_classical_model_needs_none(model, loaded):
    answer = subprocess.run([sys.executable, "-c", CODE, model], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == loaded


def test_what_cannot_be_imported_is_left_to_the_one_who_needs_it():
    code = "import sys; sys.modules['torch'] = None\n" + CODE
    answer = subprocess.run([sys.executable, "-c", code, "starter"], capture_output=True, text=True, check=True)
    assert answer.stderr == ""
