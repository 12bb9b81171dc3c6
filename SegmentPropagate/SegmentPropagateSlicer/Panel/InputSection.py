"""The section Image and segments."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from SegmentPropagateLib.volumes.presets import PRESET_OF, Preset
from SegmentPropagateSlicer.Panel.Context import Context
from SegmentPropagateSlicer.Scene.Parameters import ALL_VISIBLE
from SegmentPropagateSlicer.Values.State import State


class InputSection:
    """Image, segmentation, segments and intensity preset; keeps the embedded Segment Editor on the same nodes.

    Args:
        context: `Context`.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        ui, guarded = context.ui, context.status.guarded
        for name, preset in PRESET_OF.items():
            ui.intensitySelector.addItem(presetTitle(preset), name)
        ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", guarded(self._takeVolume))
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", guarded(self._takeSegmentation))
        ui.segmentSelector.connect("activated(int)", guarded(self._takeSegment))
        ui.intensitySelector.connect("activated(int)", guarded(self._takeIntensity))
        ui.segmentEditor.connect("currentSegmentIDChanged(QString)", guarded(self._followEditor))

    def _takeVolume(self) -> None:
        self.context.parameters.volume = self.context.ui.volumeSelector.currentNode()
        self._applyInputs()

    def _takeSegmentation(self) -> None:
        parameters, node = self.context.parameters, self.context.ui.segmentationSelector.currentNode()
        if node is not None and node.GetSegmentation().GetNumberOfSegments() == 0:
            node.CreateDefaultDisplayNodes()
            node.GetSegmentation().AddEmptySegment()
        parameters.segmentation = node
        ids = list(node.GetSegmentation().GetSegmentIDs()) if node else []
        if parameters.segment != ALL_VISIBLE and parameters.segment not in ids:
            parameters.segment = ids[0] if ids else ""
        self._applyInputs()

    def _takeSegment(self) -> None:
        self.context.parameters.segment = self.context.ui.segmentSelector.currentData or ""
        if self.context.parameters.segment not in ("", ALL_VISIBLE):
            self.context.ui.segmentEditor.setCurrentSegmentID(self.context.parameters.segment)

    def _takeIntensity(self) -> None:
        self.context.parameters.intensity = self.context.ui.intensitySelector.currentData

    def _followEditor(self) -> None:
        selected = self.context.ui.segmentEditor.currentSegmentID()
        if selected and self.context.parameters.segment != ALL_VISIBLE:
            self.context.parameters.segment = selected

    def follow(self) -> None:
        """Take what the scene offers where nothing is chosen, and hand what is chosen to the logic."""
        parameters, logic = self.context.parameters, self.context.logic
        if logic.state not in State.BUSY:
            self._takeDefaults()
        if (logic.volumeNode, logic.segmentationNode) != (parameters.volume, parameters.segmentation):
            self._applyInputs()

    def _takeDefaults(self) -> None:
        """Without a choice, take the volume that the view shows, or the first one, and the first segmentation."""
        parameters = self.context.parameters
        if parameters.volume is None:
            shown = self.context.shownVolume()
            volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            images = [node for node in volumes if not node.IsA("vtkMRMLLabelMapVolumeNode")]
            parameters.volume = shown if shown in images else (images[0] if images else None)
        if parameters.segmentation is None:
            segmentations = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            parameters.segmentation = segmentations[0] if segmentations else None

    def _applyInputs(self) -> None:
        parameters, editor, logic = self.context.parameters, self.context.ui.segmentEditor, self.context.logic
        segmentation = parameters.segmentation
        if (logic.volumeNode, logic.segmentationNode) != (parameters.volume, segmentation):
            parameters.forgetRanges()  # as the logic forgets the keys
        if segmentation is not None and segmentation.GetNodeReference("referenceImageGeometryRef") is None:
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(parameters.volume)
        editor.setSegmentationNode(segmentation)
        editor.setSourceVolumeNode(parameters.volume)
        if parameters.segment not in ("", ALL_VISIBLE):
            editor.setCurrentSegmentID(parameters.segment)
        logic.setInputs(parameters.volume, segmentation)

    def refresh(self) -> None:
        """Show the parameters."""
        ui, parameters = self.context.ui, self.context.parameters
        busy = self.context.logic.state in State.BUSY
        for widget in (ui.volumeSelector, ui.segmentationSelector, ui.segmentSelector, ui.intensitySelector):
            widget.enabled = not busy
        ui.volumeSelector.setCurrentNode(parameters.volume)
        ui.segmentationSelector.setCurrentNode(parameters.segmentation)
        self._fillSegments()
        ui.intensitySelector.setCurrentIndex(max(0, ui.intensitySelector.findData(parameters.intensity)))

    def _fillSegments(self) -> None:
        box, parameters = self.context.ui.segmentSelector, self.context.parameters
        node = parameters.segmentation
        wanted = [(i, self.context.segmentName(i)) for i in node.GetSegmentation().GetSegmentIDs()] if node else []
        if len(wanted) > 1:
            wanted.append((ALL_VISIBLE, _("All visible segments with key slices")))
        if [(box.itemData(row), box.itemText(row)) for row in range(box.count)] != wanted:
            box.clear()
            for segmentId, name in wanted:
                box.addItem(name, segmentId)
        box.setCurrentIndex(box.findData(parameters.segment))


def presetTitle(preset: Preset) -> str:
    """What the list calls a `presets.Preset`, in the user's language.

    Texts to translate are collected from literals, so those of today's presets stand here; a new window needs no work.
    """
    if preset.window_hu is not None:
        low, high = (f"{value:g}" for value in preset.window_hu)
        return _("CT {part} ({low} to {high} HU)").format(part=_(preset.about), low=low, high=high)
    translated = {
        "auto": _("Automatic"),
        "percentile": _("Percentiles 0.5 to 99.5 (MR, PET, ultrasound)"),
        "minmax": _("Lowest to highest value"),
        "none": _("As stored (8 bit)"),
    }
    return translated.get(preset.name, preset.title)
