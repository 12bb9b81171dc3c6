"""The panel's models: which are offered, what is said of them, and what is remembered."""

import sys

import pytest

# ---- model ----------------------------------------------------------------------------------------------------------


def test_a_checkpoint_file_is_recognized_at_once_and_listed_as_recent(panel, tmp_path, monkeypatch):
    import qt

    path = tmp_path / "my-model.pt"
    path.write_bytes(b"weights")
    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", staticmethod(lambda *_: str(path)))
    panel.press("openCheckpointButton")
    assert panel.said("inspectModel") == [("inspectModel", str(path))]
    assert panel.ui.modelSelector.currentText == "my-model.pt"
    panel.logic.modelInspected.emit({"path": "/other.pt", "sentence": "Of a file that was chosen before."})
    assert panel.ui.modelInfo.text != "Of a file that was chosen before."
    panel.logic.modelInspected.emit({"path": str(path), "sentence": "SLM-SAM 2 tiny, 1024 px, 7 short slices."})
    assert panel.ui.modelInfo.text == "SLM-SAM 2 tiny, 1024 px, 7 short slices."
    assert panel.widget.model.recentFiles() == [str(path)]
    path.unlink()
    assert panel.widget.model.recentFiles() == []


def test_cancelling_the_file_dialog_changes_nothing(panel, monkeypatch):
    import qt

    before = panel.parameters.model
    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", staticmethod(lambda *_: ""))
    panel.press("openCheckpointButton")
    assert panel.parameters.model == before


def test_a_model_says_its_licence_and_what_it_downloads(panel, monkeypatch):
    from SegmentPropagateSlicer.Panel.ModelSection import describe

    assert "Licence: Apache-2.0." in describe("classical")
    assert describe("/nowhere/x.pt") == "This file is no longer there: choose another model."
    monkeypatch.setattr("SegmentPropagateLib.models.registry.NamedModel.is_ready", False)
    assert describe("sam2.1-tiny").endswith("Downloaded on first use (156 MB).")


@pytest.mark.skipif(sys.platform == "win32", reason="the drawn nvidia-smi is a shell script")
def test_graphics_cards_are_listed_by_name(slicer, tmp_path):
    import stat
    import time

    import qt
    from SegmentPropagateSlicer.Panel.Devices import Devices

    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200'\necho 'NVIDIA RTX A2000'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    found = []
    box = qt.QComboBox()
    devices = Devices(lambda: found.append(True), box, str(program))
    end = time.monotonic() + 20
    while not found and time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.01)
    assert devices.choices()[1:3] == [("cuda:0", "NVIDIA H200"), ("cuda:1", "NVIDIA RTX A2000")]
    devices.stop()
