from slicer import qSlicerSegmentEditorScriptedEffect

class AbstractScriptedSegmentEditorEffect:
    scriptedEffect: qSlicerSegmentEditorScriptedEffect
    def __init__(self, scriptedEffect: qSlicerSegmentEditorScriptedEffect) -> None: ...
