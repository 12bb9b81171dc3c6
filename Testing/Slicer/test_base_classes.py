"""What the module shares with Slicer's base classes: reload, unloading, developer mode, translation.

With REAL_SLICER_PYTHON (see conftest.py) all of it runs on Slicer's own classes, with which the stand-ins are compared.
"""

import ast
import gc
import os
import sys
from pathlib import Path

import pytest
import shiboken6
import slicer as slicer_module
from panel_fixtures import openedPanel, shortcutsOf
from PySide6 import QtCore
from SegmentPropagateSlicer.Values.State import State
from slicer_harness.segment_editor import listens

STAND_INS = Path(__file__).resolve().parents[1] / "Harness" / "slicer_python"


def current():
    """The widget that Slicer has now."""
    return slicer_module.modules.SegmentPropagateWidget


@pytest.fixture
def developer(slicer):
    """Developer mode. A reload makes new classes; the other tests get theirs back."""
    ours = ("SegmentPropagate", "SegmentPropagateSlicer", "SegmentPropagateLib")
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] in ours}
    slicer.app.userSettings().setValue("Developer/DeveloperMode", True)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in ours]:
        del sys.modules[name]
    sys.modules.update(before)


def test_without_developer_mode_the_panel_has_no_reload_button(slicer):
    with openedPanel(slicer) as panel:
        assert not hasattr(panel.widget, "reloadButton")


def test_in_developer_mode_the_reload_button_makes_a_panel_that_works(slicer, developer):
    with openedPanel(slicer) as panel:
        panel.widget.reloadButton.click()
        panel.settle()
        new = current()
        assert new is not panel.widget
        assert new.context.parameters.volume is panel.volume
        assert new.ui.addKeyButton.isVisible()
        assert not panel.ui.addKeyButton.isVisible()
        new.context.parameters.segment = panel.segmentId
        new.context.jumpToSlice(18)
        panel.settle()
        new.ui.addKeyButton.click()
        assert [key.sliceIndex for key in new.logic.keys] == [18]


def test_a_reload_of_the_open_module_moves_shortcuts_and_the_editor_to_the_new_panel(slicer, developer):
    with openedPanel(slicer) as panel:
        assert listens(panel.ui.segmentEditor) == (True, True)
        shortcuts = shortcutsOf(panel.widget)
        panel.widget.reloadButton.click()
        panel.settle()
        assert listens(panel.ui.segmentEditor) == (False, False)
        assert listens(current().ui.segmentEditor) == (True, True)
        assert shortcutsOf(current()) == shortcuts  # each once: a key with two shortcuts does nothing


def test_a_reload_behind_another_module_waits_for_being_opened(slicer, developer):
    with openedPanel(slicer) as panel:
        panel.widget.parent.exit()
        panel.widget.reloadButton.click()
        panel.settle()
        assert listens(current().ui.segmentEditor) == (False, False)
        assert shortcutsOf(current()) == []
        panel.widget.parent.enter()
        assert listens(current().ui.segmentEditor) == (True, True)
        assert shortcutsOf(current()) != []


def test_a_reload_in_mid_run_ends_the_worker_and_leaves_the_segment(slicer, developer, lonelyBench):
    before = lonelyBench.fingerprint()
    with openedPanel(slicer, logic=lonelyBench.logic, fill=False) as panel:
        lonelyBench.use("slow")
        lonelyBench.logic.addKey(lonelyBench.segment, 5, "axial")  # the panel took the keys of the empty scene
        lonelyBench.logic.startSession([lonelyBench.segment], 0, 11)
        lonelyBench.until(lambda: lonelyBench.logic.reviewScores(lonelyBench.segment)[3:])
        panel.widget.reloadButton.click()
        panel.settle()
        assert not lonelyBench.process.isRunning
        assert lonelyBench.logic.preview.node is None
        assert lonelyBench.fingerprint() == before
        assert current().logic is not lonelyBench.logic
        assert current().logic.state == State.IDLE


def test_unloading_ends_the_logic_once(slicer):
    with openedPanel(slicer) as panel:
        slicer.app.moduleManager().unload("AnotherModule")
        assert panel.said("shutdown") == []
        slicer.app.moduleManager().unload("SegmentPropagate")
        slicer.app.moduleManager().unload("SegmentPropagate")
        assert panel.said("shutdown") == [("shutdown",)]


def test_a_closed_panel_leaves_no_timer_and_no_process(slicer):
    def running():
        kinds = (QtCore.QTimer, QtCore.QProcess)
        return {id(o) for o in gc.get_objects() if isinstance(o, kinds) and shiboken6.isValid(o)}

    before = running()
    with openedPanel(slicer):
        assert running() - before
    assert running() - before == set()


def test_sentences_are_looked_up_in_the_catalog_under_the_name_of_their_file(slicer, monkeypatch):
    asked = {}

    def shout(context, text):
        asked.setdefault(context, set()).add(text)
        return text.upper() if "{" not in text else text

    monkeypatch.setattr(slicer.app, "translate", shout)
    with openedPanel(slicer, fill=False) as panel:
        assert panel.ui.estimateLabel.text == "CHOOSE AN IMAGE."
    assert "Segment Propagate" in asked["SegmentPropagate"]
    assert any(context.startswith("Panel.") for context in asked)


def test_a_translation_that_lost_a_placeholder_is_not_used(slicer, monkeypatch):
    from slicer.i18n import tr

    monkeypatch.setattr(slicer.app, "translate", lambda _context, text: text.replace("{count}", "{anzahl}"))
    assert tr("{count} slices").format(count=3) == "3 slices"


def test_a_second_parameter_node_is_only_made_where_wanted(slicer):
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    class DrawLogic(ScriptedLoadableModuleLogic):
        pass

    logic = DrawLogic()
    node = logic.getParameterNode()
    assert (node.GetAttribute("ModuleName"), node.GetSingletonTag()) == ("Draw", "Draw")
    assert logic.getParameterNode() is node
    assert logic.getAllParameterNodes() == [node]


# ---- against Slicer's own files -------------------------------------------------------------------------------------


def signatures(folder, name):
    """`{class.method or function: argument names}` of a file of `slicer/`."""
    return methodsOf(Path(folder) / "slicer" / f"{name}.py")


def methodsOf(path):
    """`{class.method or function: argument names}` of a file."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        methods = node.body if isinstance(node, ast.ClassDef) else [node]
        owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for method in methods:
            if isinstance(method, ast.FunctionDef):
                arguments = [*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs]
                found[owner + method.name] = [argument.arg for argument in arguments]
    return found


@pytest.mark.skipif("REAL_SLICER_PYTHON" not in os.environ, reason="REAL_SLICER_PYTHON names no files of Slicer")
@pytest.mark.parametrize("name", ["ScriptedLoadableModule", "i18n"])
def test_the_stand_ins_have_the_signatures_of_slicers_own(name):
    own, real = signatures(STAND_INS, name), signatures(os.environ["REAL_SLICER_PYTHON"], name)
    public = {key: arguments for key, arguments in own.items() if not key.rpartition(".")[2].startswith("_")}
    assert public == {key: real.get(key) for key in public}


@pytest.mark.skipif("REAL_SLICER_PYTHON" not in os.environ, reason="REAL_SLICER_PYTHON names no files of Slicer")
def test_slicers_own_files_are_the_ones_in_use(slicer):
    from slicer import ScriptedLoadableModule, i18n

    folder = Path(os.environ["REAL_SLICER_PYTHON"]).resolve()
    assert {Path(module.__file__).resolve().parent for module in (ScriptedLoadableModule, i18n)} == {folder / "slicer"}
