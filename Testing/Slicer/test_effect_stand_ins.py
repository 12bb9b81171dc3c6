"""The stand-ins of what hosts an effect, held against Slicer's record of names and its own base class."""

import os
import sys
from pathlib import Path

import pytest
import SegmentEditorEffects
from SegmentPropagateSlicer.Effect.Registration import EFFECT_FILE, registerEffect
from slicer_harness.effects import BASE, qSlicerSegmentEditorEffectFactory, qSlicerSegmentEditorScriptedEffect
from test_base_classes import STAND_INS, methodsOf

TOOLS = Path(__file__).resolve().parents[1] / "Harness" / "tools"
sys.path.insert(0, str(TOOLS))
REAL = Path(os.environ.get("REAL_SLICER_PYTHON", "nowhere")) / "SegmentEditorEffects" / f"{BASE}.py"


@pytest.mark.parametrize("version", ["v5.10.0", "v5.12.3", "HEAD"])
def test_a_scripted_effect_offers_nothing_that_the_real_one_lacks(slicer_app, version):
    from check_api import Api
    from record_qt_api import unpack

    api = Api(unpack((TOOLS / "qt_api.json").read_text(encoding="utf-8"))[version])
    properties, methods, _signals = api.lookup("qSlicerSegmentEditorScriptedEffect")
    own = {name for name in dir(qSlicerSegmentEditorScriptedEffect) if name[0].islower()}
    assert own <= properties | methods, sorted(own - properties - methods)


def test_the_effect_overrides_only_what_slicer_calls(slicer_app):
    """A misspelt name would never be called."""
    registerEffect()
    effect = qSlicerSegmentEditorEffectFactory.instance().copyEffects([])[0].self()
    called = {name for name in dir(qSlicerSegmentEditorScriptedEffect) if name[0].islower()}
    ours = {"apply", "cancel", "logic", "propagate", "useLogic"}
    named = {name for name in vars(type(effect)) if name[0].islower()}
    assert named - ours <= called
    assert {"clone", "setMRMLDefaults", "setupOptionsFrame", "updateGUIFromMRML", "updateMRMLFromGUI"} <= named


def test_an_effect_is_registered_once_and_copied_for_every_editor(slicer_app):
    registerEffect()
    registerEffect()
    effects = []
    qSlicerSegmentEditorEffectFactory.instance().copyEffects(effects)
    assert [effect.name for effect in effects].count("Propagate") == 1
    assert Path(effects[0].pythonSource()) == EFFECT_FILE
    assert qSlicerSegmentEditorEffectFactory.instance().copyEffects(effects) == []


def test_the_module_registers_the_effect_when_slicer_has_started(slicer, monkeypatch):
    from panel_fixtures import openedPanel

    factory = qSlicerSegmentEditorEffectFactory()
    monkeypatch.setattr(qSlicerSegmentEditorEffectFactory, "instance", classmethod(lambda cls: factory))
    with openedPanel(slicer, fill=False):
        assert factory.copyEffects([]) == []
        slicer.app.fire("startupCompleted()")
        assert [effect.name for effect in factory.copyEffects([])] == ["Propagate"]


@pytest.mark.skipif(not REAL.is_file(), reason="REAL_SLICER_PYTHON has no SegmentEditorEffects")
def test_the_base_class_has_the_signatures_of_slicers_own_which_is_in_use():
    own, real = methodsOf(STAND_INS / "SegmentEditorEffects" / f"{BASE}.py"), methodsOf(REAL)
    assert own == {name: real.get(name) for name in own}
    base = getattr(SegmentEditorEffects, BASE)
    assert Path(sys.modules[base.__module__].__file__).resolve() == REAL.resolve()
