"""`finetune --background`: what a program that has started it can read."""

import json
import os

import pytest

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.process import lower_priority


@pytest.mark.parametrize("kept", [True, False])
def test_a_program_reads_the_start_every_step_and_what_came_of_it(monkeypatch, tmp_path, capsys, kept):
    pytest.importorskip("torch")
    from SegmentPropagateLib.cli import finetune as command
    from SegmentPropagateLib.training import finetune

    def run(_dataset, _init, _output, _settings, conduct):
        conduct.tick({"step": 0, "validation_dsc": 0.8}, 4)
        conduct.tick({"step": 1, "loss": 0.5}, 4)
        return {"steps": 4, "loss": 0.5, "validation_dsc": 0.9, "start_dsc": 0.8, "kept_start": kept}

    lowered = []
    monkeypatch.setattr(finetune, "finetune", run)
    monkeypatch.setattr(command, "lower_priority", lambda: lowered.append(True))
    words = ["finetune", ".", "--init", "starter", "-o", str(tmp_path / "model.pt"), "--background"]
    assert main(words) == 0
    who, first, second, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert who == {"pid": os.getpid()}
    assert first == {"step": 0, "steps": 4, "seconds_left": None, "validation_dsc": 0.8}
    assert (second["step"], second["loss"]) == (1, 0.5)
    assert second["seconds_left"] >= 0
    assert last == {"steps": 4, "validation_dsc": 0.9, "start_dsc": 0.8, "kept_start": kept}
    assert lowered == [True]


def test_a_background_process_lets_others_go_first(monkeypatch):
    psutil = pytest.importorskip("psutil")
    asked = []
    monkeypatch.setattr(psutil.Process, "nice", lambda _self, value: asked.append(value))
    lower_priority()
    assert len(asked) == 1
