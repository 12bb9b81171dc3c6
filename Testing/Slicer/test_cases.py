"""A worklist in the panel: states, resuming, saving by itself, and what other programs have changed."""

import json
import os

import numpy as np
import pytest
from day import TRUTH, dayOf, drawFolder
from SegmentPropagateSlicer.Worklist.WorkTime import WorkTime

from SegmentPropagateLib import read_labels
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.cases import find_cases


@pytest.fixture
def folder(tmp_path):
    return drawFolder(tmp_path / "scans")


@pytest.fixture
def day(slicer, folder):
    with dayOf(slicer) as found:
        found.open(folder)
        yield found


def rows(day):
    table = day.ui.caseTable
    return [(table.item(row, 0).text(), table.item(row, 1).text()) for row in range(table.rowCount)]


def fireTimer(day):
    """The minutes have passed."""
    day.cases.autosave.atOnce()
    day.cases.autosave.settle()
    day.settle()


def test_cases_are_listed_and_filtered_by_state_and_name(day):
    assert rows(day) == [("a", "in work"), ("b", "to do"), ("c", "to do")]
    day.ui.stateFilter.setCurrentIndex(1)
    day.ui.stateFilter.activated.emit(1)
    assert rows(day) == [("b", "to do"), ("c", "to do")]
    day.ui.nameFilter.setText("C")
    assert rows(day) == [("c", "to do")]


def test_the_views_show_the_case_that_is_opened(slicer, folder):
    with dayOf(slicer) as found:
        found.cases.use(str(folder))
        found.settle()
        assert found.widget.context.planeAndSlice() == ("axial", 6)


def test_keys_and_locks_outlive_the_scene(day, slicer, folder):
    day.draw()
    day.press("addKeyButton")
    day.press("lockSliceButton")
    slicer.mrmlScene.Clear(False)
    day.settle()
    day.open(folder)
    assert [(key.sliceIndex, key.confirmed) for key in day.logic.keys] == [(5, True)]


def test_work_is_resumed_where_it_stopped_with_keys_and_locks(slicer, day, folder):
    day.draw()
    day.press("addKeyButton")
    day.press("lockSliceButton")
    keys = day.logic.keys
    assert keys[0].confirmed
    day.key("X")
    assert day.logic.keys == ()
    day.key("H")
    assert (day.casework.name, day.logic.keys) == ("a", keys)
    day.key("X")
    day.key("X")  # nothing is drawn in b
    assert day.sentence().startswith("Nothing is drawn in 'b': it stays in work.")
    day.widget.exit()
    slicer.mrmlScene.Clear(False)
    day.settle()
    day.widget.enter()
    day.open(folder)
    assert (day.casework.name, day.states()) == ("c", {"a": "done", "b": "in work", "c": "in work"})


def test_a_case_with_nothing_to_be_found_is_done_when_she_says_so(day, folder):
    day.press("caseDoneButton")
    assert day.states()["a"] == "done"
    assert (folder / "a.seg.nrrd").is_file()
    day.press("caseDoneButton")
    assert day.states()["a"] == "in work"


def test_labels_of_another_program_are_a_proposal_to_begin_with(slicer, folder):
    with dayOf(slicer) as day:
        day.open(folder)
        day.draw(TRUTH)
        day.press("saveCaseButton")
    (folder / "a.seg.nrrd").rename(folder / "b.seg.nrrd")
    (folder / "worklist.json").unlink()
    with dayOf(slicer) as day:
        day.open(folder)
        assert rows(day)[1] == ("b", "proposed")
        day.ui.caseTable.setCurrentCell(1, 0)
        day.ui.caseTable.cellDoubleClicked.emit(1, 0)
        day.settle()
        assert np.array_equal(day.mask(), TRUTH)


# ---- nothing is lost ------------------------------------------------------------------------------------------------


def saved(path):
    labels = read_labels(path)
    return {info.name: int(labels.mask(info.value).sum()) for info in labels.segments}


def test_saving_by_itself_waits_until_she_rests_the_mouse_but_not_for_ever(day, folder):
    clock = [0.0]
    day.cases.workTime = work = WorkTime(lambda: clock[0])
    day.draw()
    for rests, seconds in ((False, 70), (True, 10)):
        (folder / "a.seg.nrrd").unlink(missing_ok=True)
        day.cases.casework.open(day.cases.casework.case, day.cases.casework.nodes)
        day.draw(day.mask() ^ (np.arange(TRUTH.size).reshape(TRUTH.shape) == 0))
        began = clock[0]
        while not (folder / "a.seg.nrrd").exists():
            clock[0] += 1.0
            if not rests:
                work.note()
            day.cases.autosave.inPause()  # the timer's
            day.cases.autosave.settle()
            assert clock[0] - began < seconds
        assert clock[0] - began >= (3 if rests else 60)


def test_a_case_whose_saving_holds_the_views_waits_for_a_longer_rest(day, folder, monkeypatch):
    clock, rests = [0.0], []
    day.cases.workTime = WorkTime(lambda: clock[0])
    saving = day.cases.casework.saving

    def slowly(**arguments):
        clock[0] += 2.0
        return saving(**arguments)

    monkeypatch.setattr(day.cases.casework, "saving", slowly)
    for _ in range(2):
        day.draw(day.mask() ^ (np.arange(TRUTH.size).reshape(TRUTH.shape) == 0))
        day.cases.workTime.note()
        began = clock[0]
        while day.cases.casework.isUnsaved:
            clock[0] += 0.5
            day.cases.autosave.inPause()  # the timer's
            day.cases.autosave.settle()
        rests.append(clock[0] - 2.0 - began)
    assert rests == [3.0, 10.0]


def test_accept_saves_by_itself(day, folder):
    day.press("boxButton")
    day.clickBox()
    assert not (folder / "a.seg.nrrd").exists()
    day.press("acceptButton")
    day.cases.autosave.settle()
    assert saved(folder / "a.seg.nrrd") == {"Segment_1": int(TRUTH.sum())}
    assert day.states()["a"] == "in work"


def test_a_stroke_is_saved_when_the_minutes_have_passed(day, folder):
    fireTimer(day)
    assert not (folder / "a.seg.nrrd").exists()  # nothing was drawn
    day.draw()
    fireTimer(day)
    assert saved(folder / "a.seg.nrrd") == {"Segment_1": 36}
    before = (folder / "a.seg.nrrd").stat().st_mtime_ns
    fireTimer(day)
    assert (folder / "a.seg.nrrd").stat().st_mtime_ns == before


@pytest.mark.parametrize("leave", ["scene closed", "other case", "other list", "end of Slicer"])
def test_a_stroke_is_saved_when_the_case_is_left(day, folder, tmp_path, leave):
    day.draw()
    {
        "scene closed": lambda: day.app.mrmlScene.Clear(False),
        "other case": lambda: (day.ui.caseTable.setCurrentCell(2, 0), day.ui.caseTable.cellDoubleClicked.emit(2, 0)),
        "other list": lambda: day.cases.use(str(drawFolder(tmp_path / "others"))),
        "end of Slicer": day.widget.cleanup,
    }[leave]()
    day.settle()
    assert saved(folder / "a.seg.nrrd") == {"Segment_1": 36}


def test_a_file_that_another_program_changed_is_kept_and_so_is_hers(day, folder):
    day.draw()
    day.press("saveCaseButton")
    theirs = b"theirs"
    (folder / "a.seg.nrrd").write_bytes(theirs)
    day.draw(TRUTH)
    day.key("X")
    assert "'a.seg.nrrd' was changed by another program: it is kept, yours is saved as 'a (2).seg.nrrd'." in (
        day.sentence()
    )
    assert (folder / "a.seg.nrrd").read_bytes() == theirs
    assert saved(folder / "a (2).seg.nrrd") == {"Segment_1": int(TRUTH.sum())}
    day.key("H")
    assert np.array_equal(day.mask(), TRUTH)
    assert [case.labels.name for case in find_cases(folder / "worklist.json")] == ["a (2).seg.nrrd"]


def test_a_save_that_fails_is_one_sentence_and_the_case_stays(day, folder):
    day.draw()
    day.press("saveCaseButton")
    before = (folder / "a.seg.nrrd").read_bytes()
    day.draw(TRUTH)
    (folder / "a.seg.nrrd").chmod(0o444)
    os.utime(folder / "a.seg.nrrd", ns=(1, (folder / "a.seg.nrrd").stat().st_mtime_ns))
    day.key("X")
    assert "read-only" in day.sentence()
    assert day.casework.name == "a"
    assert (folder / "a.seg.nrrd").read_bytes() == before
    assert np.array_equal(day.mask(), TRUTH)


def test_an_image_that_cannot_be_loaded_leaves_the_case_open(day, folder):
    day.draw()
    (folder / "b.nrrd").write_bytes(b"NRRD0004\nbroken")
    day.key("X")
    assert day.sentence().startswith(f"'{folder / 'b.nrrd'}' cannot be loaded as an image")
    assert (day.casework.name, day.states()["a"]) == ("a", "done")
    assert day.mask().sum() == 36


@pytest.mark.parametrize("accepts", [True, False])
def test_a_proposal_is_accepted_or_keeps_the_case_open(day, folder, accepts):
    day.ui.acceptOnNextCheckBox.setChecked(accepts)
    day.press("boxButton")
    day.clickBox()
    day.key("X")
    assert day.casework.name == ("b" if accepts else "a")
    if not accepts:
        assert day.sentence().startswith("A proposal waits for review: accept or discard it before")
        assert day.logic.state == "review"


# ---- other lists ----------------------------------------------------------------------------------------------------


def test_images_of_the_scene_are_a_list_with_results_in_a_folder(slicer, tmp_path):
    with dayOf(slicer) as day:
        for name in ("T1", "T2/3"):
            slicer.util.addVolumeFromArray(TRUTH.astype(np.int16) * 100, name=name)
        day.settle()
        day.cases.useResults(str(tmp_path))
        day.cases.use("*")
        for name in ("T1", "T2_3"):
            assert day.casework.name == name
            day.draw(TRUTH)
            day.key("X")
        assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 2  # hers stay
    for dataset in (tmp_path, tmp_path / "worklist.json"):
        assert [(case.name, case.labels.name) for case in find_cases(dataset)] == [
            ("T1", "T1.seg.nrrd"), ("T2_3", "T2_3.seg.nrrd")]  # fmt: skip


def beginWithScene(slicer, day, tmp_path, *names, array=TRUTH):
    """Begin with a scene of these images."""
    slicer.mrmlScene.Clear(False)
    for name in names:
        slicer.util.addVolumeFromArray(array.astype(np.int16) * 100, name=name)
    day.settle()
    day.cases.useResults(str(tmp_path))
    day.cases.use("*")


def test_an_image_of_the_scene_goes_on_in_another_scene_and_another_of_its_name_is_refused(slicer, tmp_path):
    """The second patient's "3: CT Abdomen" got the first one's segments, and was saved over them."""
    name, results = "3: CT Abdomen", tmp_path / "3_ CT Abdomen.seg.nrrd"
    with dayOf(slicer) as day:
        beginWithScene(slicer, day, tmp_path, name)
        day.draw(TRUTH)
        day.key("X")
    before = results.read_bytes()
    with dayOf(slicer) as day:
        with pytest.raises(InputError, match=r"CT Abdomen\.nrrd' is another image than '3: CT Abdomen' of the scene"):
            beginWithScene(slicer, day, tmp_path, name, array=~TRUTH)
        assert results.read_bytes() == before
    with dayOf(slicer) as day:
        beginWithScene(slicer, day, tmp_path, name)
        assert day.states() == {"3_ CT Abdomen": "done"}


def test_two_images_of_the_scene_with_one_name_are_refused_and_none_is_passed_over(slicer, tmp_path):
    with dayOf(slicer) as day, pytest.raises(InputError, match="Two images of the scene are called 'T1_2'"):
        beginWithScene(slicer, day, tmp_path, "T1/2", "T1:2")


@pytest.fixture
def scene(slicer, tmp_path):
    """Two images in one place; the second one has a segmentation that was drawn before."""
    with dayOf(slicer) as day:
        for name in ("T1", "T2"):
            slicer.util.addVolumeFromArray(TRUTH.astype(np.int16) * 100, name=name)
        day.settle()
        drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn before")
        drawn.SetReferenceImageGeometryParameterFromVolumeNode(slicer.util.getNode("T2"))
        drawn.CreateDefaultDisplayNodes()
        drawn.GetSegmentation().AddEmptySegment("", "Liver")
        slicer.util.setSliceViewerLayers(background=slicer.util.getNode("T2"), foreground=slicer.util.getNode("T2"))
        day.cases.useResults(str(tmp_path))
        day.cases.use("*")
        day.settle()
        yield day


def shown(day, view="Red"):
    """Names of the images in a view, and of the segmentations that are visible."""
    composite = day.app.mrmlScene.GetSingletonNode(view, "vtkMRMLSliceCompositeNode")
    layers = composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()
    nodes = day.app.util.getNodesByClass("vtkMRMLSegmentationNode")
    images = [day.app.mrmlScene.GetNodeByID(layer).GetName() for layer in layers if layer]
    return images, [node for node in nodes if node.GetDisplayNode().GetVisibility()]


def test_the_views_show_the_image_of_the_scene_that_is_open_and_nothing_of_another(scene):
    for name, key in (("T1", "X"), ("T2", "H"), ("T1", "X")):
        assert scene.casework.name == name
        for view in ("Red", "Green", "Yellow"):
            assert shown(scene, view) == ([name], [scene.node])
        scene.draw(TRUTH)
        scene.key(key)


def test_a_segmentation_that_an_image_of_the_scene_has_already_is_worked_on(slicer, scene, tmp_path):
    scene.key("X")
    assert (scene.casework.name, scene.node.GetName(), scene.names()) == ("T2", "Drawn before", ["Liver"])
    scene.draw(TRUTH)
    scene.key("H")
    assert saved(tmp_path / "T2.seg.nrrd") == {"Liver": int(TRUTH.sum())}
    scene.key("X")
    assert scene.node.GetName() == "Drawn before"  # it stays in the scene, and is that file
    assert np.array_equal(scene.mask(), TRUTH)


def test_what_was_saved_before_goes_on_and_a_segmentation_of_the_scene_stays_aside(slicer, scene, tmp_path):
    scene.key("X")
    scene.draw(TRUTH)
    scene.key("H")
    drawn = slicer.util.getNode("Drawn before")
    drawn.GetStorageNode().SetFileName(str(tmp_path / "other.seg.nrrd"))  # as in another scene file
    scene.key("X")
    assert scene.node is not drawn
    assert np.array_equal(scene.mask(), TRUTH)
    assert shown(scene) == (["T2"], [scene.node])


def test_the_next_case_gets_the_segments_of_this_one_where_there_is_no_template(day):
    segment = day.node.GetSegmentation().GetNthSegment(0)
    segment.SetName("Tumor")
    segment.SetColor(0.25, 0.5, 0.75)
    day.draw()
    day.key("X")
    assert day.names() == ["Tumor"]
    assert day.node.GetSegmentation().GetNthSegment(0).GetColor() == pytest.approx((0.25, 0.5, 0.75))
    assert day.ui.templateSelector.currentText == "as in a"


def test_a_damaged_worklist_is_one_sentence(slicer, folder):
    (folder / "worklist.json").write_text(json.dumps([]))
    with dayOf(slicer) as day:
        day.widget.context.status.guarded(lambda: day.cases.use(str(folder)))()
        assert "is damaged or no worklist" in day.sentence()
        assert not day.ui.nextCaseButton.isVisible()
