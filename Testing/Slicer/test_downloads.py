"""The download of a model shows how far it is and can be cancelled, for a run and for an outline."""

import sys
from pathlib import Path

import numpy as np
import pytest
from downloading_worker import SIZE_MB
from SegmentPropagateSlicer.Logic import State
from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess

WORKER = [sys.executable, str(Path(__file__).with_name("downloading_worker.py"))]
DONE = (0, 0)


@pytest.fixture
def distant(slicer, makeBench):
    """A bench whose model has yet to be downloaded; `told` lists the progress, `ready` the outlines."""
    bench = makeBench(process=WorkerProcess(WORKER))
    bench.use("distant")
    bench.told, bench.ready = [], []
    bench.logic.previewReady.connect(lambda *what: bench.ready.append(what))
    bench.logic.downloadProgressed.connect(lambda *what: bench.told.append(what))
    return bench


def askForOutline(bench):
    bench.logic.previewPrompt(bench.segment, 6, pointsRas=[bench.logic.slicePositionRas(6)])


def test_a_run_waits_for_the_download_and_tells_how_far_it_is(distant):
    distant.run()
    assert distant.told[:SIZE_MB] == [(n << 20, SIZE_MB << 20) for n in range(1, SIZE_MB + 1)]
    assert distant.told[SIZE_MB] == DONE
    assert distant.logic.state == State.REVIEW
    distant.logic.accept()
    assert np.array_equal(distant.get(), distant.truth)


def test_a_download_that_a_run_waits_for_can_be_cancelled(distant):
    before = distant.fingerprint()
    distant.logic.startSession([distant.segment], 0, 11)
    distant.until(lambda: distant.told)
    distant.logic.cancel()
    distant.until(lambda: distant.logic.state == State.IDLE)
    assert len(distant.told) < SIZE_MB
    assert distant.fingerprint() == before
    assert not distant.errors
    distant.run()
    assert distant.logic.state == State.REVIEW
    assert distant.process.generation == 1


def test_a_download_that_an_outline_waits_for_can_be_cancelled(distant):
    askForOutline(distant)
    distant.until(lambda: distant.told)
    distant.logic.cancel()
    assert distant.told[-1] == DONE
    askForOutline(distant)
    distant.until(lambda: distant.ready)
    assert distant.told[-1] == DONE
    assert len(distant.ready) == 1
    assert not distant.errors
    assert distant.process.generation == 1


def test_another_outline_takes_the_place_of_the_one_that_waits_for_a_download(distant):
    askForOutline(distant)
    distant.until(lambda: distant.told)
    askForOutline(distant)
    distant.until(lambda: distant.ready)
    distant.until(lambda: distant.told[-1] == DONE)
    assert len(distant.ready) == 1


def test_the_panel_shows_the_megabytes_and_the_button_cancels(prompted):
    ui = prompted.ui
    prompted.logic.downloadProgressed.emit(30 << 20, 156 << 20)
    prompted.settle()
    assert ui.progressBar.isVisible()
    assert (ui.progressBar.value, ui.progressBar.maximum, ui.progressBar.format) == (30, 156, "%v of %m MB")
    assert ui.propagateButton.text == "Cancel"
    prompted.press("propagateButton")
    assert prompted.said("cancel")
    assert not prompted.said("startSession")
    prompted.logic.downloadProgressed.emit(*DONE)
    prompted.settle()
    assert not ui.progressBar.isVisible()
    assert ui.propagateButton.text == "Propagate"
    assert prompted.sentence() == "The download was stopped; what has arrived is kept for the next time."


def test_the_panel_goes_from_the_download_to_the_slices(prompted):
    prompted.press("propagateButton")
    prompted.logic.go("starting")
    prompted.logic.downloadProgressed.emit(30 << 20, 0)  # of unknown size
    assert prompted.ui.progressBar.maximum == 0
    prompted.logic.downloadProgressed.emit(*DONE)
    prompted.logic.progressChanged.emit(3, 22, 9.0)
    prompted.settle()
    assert prompted.ui.progressBar.format == "%v of %m slices, 9 s left"
    assert prompted.ui.propagateButton.text == "Cancel"


# ---- licences -------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(panel, monkeypatch, tmp_path):
    """What the user was asked, and `answer`, what they say; nothing has been downloaded or confirmed."""
    import slicer

    class Asked(list):
        answer = True

        def __call__(self, text, windowTitle=None, **_options):
            self.append(text)
            return self.answer

    asked = Asked()
    monkeypatch.setenv("SEGMENTPROPAGATE_HOME", str(tmp_path / "models"))
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", asked)
    return asked


def choose(panel, model):
    box = panel.ui.modelSelector
    box.setCurrentIndex(box.findData(model))
    box.activated.emit(box.currentIndex)
    panel.settle()


def test_a_narrow_licence_is_confirmed_once_before_the_model_is_chosen(panel, asked, tmp_path):
    choose(panel, "medsam2-latest")
    assert panel.parameters.model == "medsam2-latest"
    assert len(asked) == 1
    for part in ("research and education only", "commercial or clinical use", "https://huggingface.co/wanglab/MedSAM2"):
        assert part in asked[0]
    assert (tmp_path / "models" / "MedSAM2_latest.pt.licence").is_file()
    choose(panel, "medsam2-2411")  # under the same licence
    assert panel.parameters.model == "medsam2-2411"
    assert (tmp_path / "models" / "MedSAM2_2411.pt.licence").is_file()
    assert len(asked) == 1


def test_a_licence_that_is_not_confirmed_leaves_the_model_as_it_was(panel, asked, tmp_path):
    before, asked.answer = panel.parameters.model, False
    choose(panel, "medsam2-latest")
    assert panel.parameters.model == before
    assert panel.ui.modelSelector.currentData == before
    assert not (tmp_path / "models").exists()
    choose(panel, "medsam2-latest")
    assert len(asked) == 2


def test_a_wide_licence_asks_for_nothing(panel, asked):
    choose(panel, "sam2.1-tiny")
    assert panel.parameters.model == "sam2.1-tiny"
    assert asked == []
