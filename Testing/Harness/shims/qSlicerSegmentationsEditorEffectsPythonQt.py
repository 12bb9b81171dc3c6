"""The part of Slicer's wrapping of the effects that the module uses (stand-ins)."""

from slicer_harness.effects import qSlicerSegmentEditorEffectFactory, qSlicerSegmentEditorScriptedEffect  # noqa: F401
