"""The panel's worker is started where nothing lies that could be taken for a library."""

import os
import shutil
import sys

import pytest
from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess

from SegmentPropagateLib.models.registry import find
from SegmentPropagateLib.worker.replies import Inspected
from SegmentPropagateLib.worker.requests import Inspect

LIBRARIES = "numpy", "torch", "json", "typing", "types", "functools", "runpy", "sitecustomize", "SegmentPropagateLib"


@pytest.fixture
def dataFolder(tmp_path, monkeypatch):
    """Slicer runs in a folder with files that have the names of libraries and leave a trace where they run."""
    trace = tmp_path / "ran"
    for name in LIBRARIES:
        (tmp_path / f"{name}.py").write_text(f"open({str(trace)!r}, 'a').write({name!r})\nraise SystemExit(9)\n")
    for name in ("PythonSlicer", "PythonSlicer.exe"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >> '{trace}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", ".", os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PATH", os.pathsep.join(["", ".", os.environ["PATH"]]))
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [None, [sys.executable, "-m", "SegmentPropagateLib.worker"]],
    ids=["as it is", "as Python 3.10, which knows no safe path"],
)
def test_code_beside_the_data_does_not_run_and_a_model_beside_them_is_found(makeBench, dataFolder, command):
    shutil.copy(find("starter").path, dataFolder / "model.bin")
    bench = makeBench(process=WorkerProcess(command))
    found = []
    bench.logic.modelInspected.connect(found.append)
    bench.logic.inspectModel("model.bin")
    bench.until(lambda: found or bench.errors, 120)
    assert not (dataFolder / "ran").exists()
    assert not bench.errors, bench.process.log
    assert (found[0]["path"], found[0]["family"]) == ("model.bin", "starter")
    bench.use("model.bin")
    assert bench.logic.settings.modelChoice.name == str(dataFolder / "model.bin")


def test_a_model_s_name_is_no_file_that_lies_there(makeBench, dataFolder):
    for name in ("starter", "classical"):
        (dataFolder / name).mkdir()
        bench = makeBench()
        bench.use(name)
        assert bench.logic.settings.modelChoice.name == name


def test_an_answer_about_another_file_is_refused():
    reply = Inspected("other.pt", "starter", "conv", 128, 7, "auto", ())
    with pytest.raises(Exception, match=r"'inspected.path' must be 'model.pt', got 'other.pt'"):
        Inspect("model.pt", None).read_reply(reply.to_message(1))
