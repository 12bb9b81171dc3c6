"""The section Image and segments."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.presets import PRESET_OF, Preset
from SegmentPropagateSlicer.Panel.Context import Context, isImage
from SegmentPropagateSlicer.Scene.Parameters import ALL_VISIBLE
from SegmentPropagateSlicer.Values.State import State
from SegmentPropagateSlicer.Worklist.Segments import REFERENCE, newSegmentation, segmentationOf


class InputSection:
    """Image, segmentation and intensity preset; keeps the embedded Segment Editor on the same nodes.

    The segment is the one that is selected in the Segment Editor.

    Args:
        context: `Context`.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._chosen: slicer.vtkMRMLScalarVolumeNode | None = None
        self._known: set[str] = set()  # IDs of the images that there were when the present one was chosen
        self._isLate = False  # whether another image is shown that could not be taken yet
        ui, guarded = context.ui, context.status.guarded
        for name, preset in PRESET_OF.items():
            ui.intensitySelector.addItem(presetTitle(preset), name)
        ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", guarded(self._takeVolume))
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", guarded(self._takeSegmentation))
        ui.intensitySelector.connect("activated(int)", guarded(self._takeIntensity))
        ui.allSegmentsCheckBox.connect("clicked()", guarded(self._takeAll))

    # ---- what the user chooses ----------------------------------------------------------------------------------

    def _takeVolume(self) -> None:
        node = self.context.ui.volumeSelector.currentNode()
        if node is not self.context.parameters.volume and not self.context.isSettling:
            self._checkNothingWaits()
            self.context.parameters.volume = node
            self._applyInputs()

    def _takeSegmentation(self) -> None:
        node = self.context.ui.segmentationSelector.currentNode()
        if node is not self.context.parameters.segmentation and not self.context.isSettling:
            self._checkNothingWaits()
            if node is not None and node.GetSegmentation().GetNumberOfSegments() == 0:
                node.CreateDefaultDisplayNodes()
                node.GetSegmentation().AddEmptySegment()
            self.context.parameters.segmentation = node
            self._applyInputs()

    def _checkNothingWaits(self) -> None:
        """InputError while there is a proposal, which belongs to its image; the lists show again what it belongs to."""
        if self.context.logic.state == State.REVIEW:
            self.refresh()
            text = _(
                "A proposal waits for review: accept or discard it before you choose another image or segmentation."
            )
            raise InputError(text)

    def _takeAll(self) -> None:
        everything = self.context.ui.allSegmentsCheckBox.checked
        self.context.parameters.segment = ALL_VISIBLE if everything else self.context.selectedSegmentId()

    def _takeIntensity(self) -> None:
        self.context.parameters.intensity = self.context.ui.intensitySelector.currentData

    def followEditor(self) -> None:
        """Take the segment of the Segment Editor, whether it was clicked on, added, or chosen by a key or a script."""
        selected = self.context.selectedSegmentId()
        if self.context.isThere(selected) and self.context.parameters.segment != ALL_VISIBLE:
            self.context.parameters.segment = selected

    # ---- what the scene offers ----------------------------------------------------------------------------------

    def follow(self) -> None:
        """Take what the scene offers where nothing is chosen, and hand what is chosen to the logic."""
        parameters, logic = self.context.parameters, self.context.logic
        self._takeNext()
        if logic.state not in State.BUSY:
            self._takeDefaults()
        if (logic.volumeNode, logic.segmentationNode) != (parameters.volume, parameters.segmentation):
            if logic.state == State.REVIEW:  # chosen behind the panel's back
                parameters.volume, parameters.segmentation = logic.volumeNode, logic.segmentationNode
                self._checkNothingWaits()
            self._applyInputs()
        self._followSegment()

    def _takeNext(self) -> None:
        """The next patient: an image that came after the present one was chosen, once the chosen view shows it."""
        parameters, logic, shown = self.context.parameters, self.context.logic, self.context.shownImage()
        if parameters.volume is not self._chosen:
            self._noteChoice()
        if shown is None or parameters.volume is None or shown.GetID() in self._known or not self.context.isOpen:
            return
        if logic.state != State.IDLE or logic.previewed is not None:
            self._isLate = True
            return
        parameters.volume, parameters.segmentation = shown, segmentationOf(shown) or self._new(shown)
        text = _("The view shows the image '{name}': it is the one that is worked on now.").format(name=shown.GetName())
        say = self.context.status.add if self._isLate else self.context.status.say  # Accept has just told what it did
        say(text)

    def _noteChoice(self) -> None:
        self._chosen, self._known = self.context.parameters.volume, {node.GetID() for node in images()}
        self._isLate = False

    def _takeDefaults(self) -> None:
        """Without a choice, take the image in the view, or the first one, and its segmentation, or a new one."""
        parameters = self.context.parameters
        if parameters.volume is None:
            shown, known = self.context.shownImage(), images()
            parameters.volume = shown or (known[0] if known else None)
        if parameters.segmentation is None:
            parameters.segmentation = segmentationOf(parameters.volume, orFirst=True)
        if parameters.segmentation is None and parameters.volume is not None and self.context.isOpen:
            parameters.segmentation = self._new(parameters.volume)

    def _new(self, volume: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLSegmentationNode:
        return newSegmentation(volume, template=self.context.parameters.segments)

    def _followSegment(self) -> None:
        """A segment that is gone gives way to the first one; the Segment Editor has the same."""
        parameters, node = self.context.parameters, self.context.parameters.segmentation
        if parameters.segment != ALL_VISIBLE and not self.context.isThere(parameters.segment):
            ids = node.GetSegmentation().GetSegmentIDs() if node else ()
            parameters.segment = ids[0] if ids else ""
        if parameters.segment not in ("", ALL_VISIBLE, self.context.selectedSegmentId()):
            self.context.ui.segmentEditor.setCurrentSegmentID(parameters.segment)

    def _applyInputs(self) -> None:
        parameters, editor, logic = self.context.parameters, self.context.ui.segmentEditor, self.context.logic
        segmentation, segment = parameters.segmentation, parameters.segment
        before, after = (logic.volumeNode, logic.segmentationNode), (parameters.volume, segmentation)
        if before != after:
            self._noteChoice()
            parameters.switchInputs(before, after)
        keys = parameters.keys  # the logic forgets them, and the parameters follow it
        if segmentation is not None and segmentation.GetNodeReference(REFERENCE) is None:
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(parameters.volume)
        editor.setSegmentationNode(segmentation)  # and selects its first segment
        editor.setSourceVolumeNode(parameters.volume)
        parameters.segment = segment
        self._followSegment()
        logic.setInputs(parameters.volume, segmentation)
        logic.setKeys(keys)

    # ---- showing ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the parameters."""
        ui, parameters = self.context.ui, self.context.parameters
        busy = self.context.logic.state in State.BUSY
        for widget in (ui.volumeSelector, ui.segmentationSelector, ui.intensitySelector, ui.allSegmentsCheckBox):
            widget.enabled = not busy
        ui.volumeSelector.setCurrentNode(parameters.volume)
        ui.segmentationSelector.setCurrentNode(parameters.segmentation)
        ui.intensitySelector.setCurrentIndex(max(0, ui.intensitySelector.findData(parameters.intensity)))
        node, everything = parameters.segmentation, parameters.segment == ALL_VISIBLE
        several = node is not None and node.GetSegmentation().GetNumberOfSegments() > 1
        ui.allSegmentsCheckBox.setVisible(several or everything)
        ui.allSegmentsCheckBox.setChecked(everything)


def images() -> list[slicer.vtkMRMLScalarVolumeNode]:
    """The volumes of the scene that can be segmented."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if isImage(node)]


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
