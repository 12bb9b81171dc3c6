"""Whatever becomes of a file: it is read, or refused in one sentence, within 2 GiB and 20 s."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from damaged_kinds import KINDS

PROGRAM = Path(__file__).with_name("mutated_files.py")
needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="a system without fork")


def wrong_outcomes(folder, first, count):
    """Kind -> what went wrong with so many mutations of it."""
    words = [sys.executable, str(PROGRAM), str(folder), str(first), str(count), *KINDS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # other threads do not live on in a fork
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def of_some(tmp_path_factory):
    return wrong_outcomes(tmp_path_factory.mktemp("some"), 0, 30)


@pytest.fixture(scope="module")
def of_many(tmp_path_factory):
    return wrong_outcomes(tmp_path_factory.mktemp("many"), 30, 300)


@needs_fork
@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_is_read_or_refused(name, of_some):
    assert of_some[name] == []


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_many_damaged_files_are_read_or_refused(name, of_many):
    assert of_many[name] == []
