"""The panel does over a server what it does with a worker of this computer: its own tests say so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
FILES = ("test_faults.py", "test_logic.py", "test_panel_review.py", "test_wire.py", "test_worker_start.py")


@pytest.mark.slow
def test_the_tests_of_faults_and_runs_pass_over_a_server():
    for package in ("starlette", "uvicorn", "websockets"):
        pytest.importorskip(package, reason="needs the extra [server]")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "over_server", "-m", "not slow"]
    path = os.pathsep.join([str(FOLDER.parents[1]), str(FOLDER)])
    done = subprocess.run(
        [*words, *(str(FOLDER / name) for name in FILES)],
        cwd=FOLDER.parents[1],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
