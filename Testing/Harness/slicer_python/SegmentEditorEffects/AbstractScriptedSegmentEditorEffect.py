"""Base class of scripted effects, reduced to what an effect here can notice; names are Slicer's."""

import slicer


class AbstractScriptedSegmentEditorEffect:
    def __init__(self, scriptedEffect):
        self.scriptedEffect = scriptedEffect

    def register(self):
        slicer.qSlicerSegmentEditorEffectFactory.instance().registerEffect(self.scriptedEffect)

    def cleanup(self):
        """Disconnect, before the effect is deleted."""
