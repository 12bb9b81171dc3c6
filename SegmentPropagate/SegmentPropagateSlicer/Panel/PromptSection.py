"""The section Key slices: how the object is shown to the model, and on which slices."""

from functools import partial
from typing import Any

import qt
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateSlicer.Panel.Context import VIEWS, Context, planeTitle, sliceNodeOf
from SegmentPropagateSlicer.Panel.KeyTable import KeyTable
from SegmentPropagateSlicer.Panel.SuggestSection import SuggestSection
from SegmentPropagateSlicer.Scene.Placement import ALONE, Placement
from SegmentPropagateSlicer.Values.State import State


class PromptSection:
    """Paint, box, line or points in one of the slice views become key slices, and so does a segment of another tool, or
    what finished cases suggest.

    Args:
        context: `Context`.
        suggest: the prompt *Suggest*.
    """

    def __init__(self, context: Context, suggest: SuggestSection) -> None:
        self.context, self._suggest = context, suggest
        self.placement = Placement(context.parameters, context.status.guarded(self.onPromptPlaced))
        self.keyTable = KeyTable(context)
        ui, guarded = context.ui, context.status.guarded
        self._modes = {"paint": ui.paintButton, "box": ui.boxButton, "line": ui.lineButton, "points": ui.pointsButton,
                       "suggest": ui.suggestButton}  # fmt: skip
        for mode, button in self._modes.items():
            button.setIcon(qt.QIcon(context.icon(mode)))
            button.connect("clicked()", guarded(partial(self.chooseMode, mode)))
        for name in VIEWS:
            ui.viewSelector.addItem(name, name)
        ui.viewSelector.connect("activated(int)", guarded(self._takeView))
        ui.placePositiveButton.connect("clicked()", guarded(lambda: self._togglePlacing(self._positiveRole())))
        ui.placeNegativeButton.connect("clicked()", guarded(lambda: self._togglePlacing("negativePoints")))
        ui.clearPromptButton.connect("clicked()", guarded(self.clearPrompt))
        ui.addKeyButton.connect("clicked()", guarded(self.addKey))
        ui.useDraftButton.connect("clicked()", guarded(self.useDraft))
        ui.lockSliceButton.setIcon(qt.QIcon(context.icon("lock")))
        ui.lockSliceButton.connect("clicked()", guarded(self.lock))
        context.logic.previewReady.connect(self._onPreviewReady)
        context.logic.drafts.taken.connect(self._onDraftTaken)
        context.logic.drafts.changed.connect(self.refresh)

    # ---- actions ------------------------------------------------------------------------------------------------

    def chooseMode(self, mode: str) -> None:
        """Paint, box, line, points or suggest."""
        if mode != "suggest" and not self.context.segmentIds():
            self.refresh()
            raise self.context.nothingToDrawOn()
        self.clearPrompt()
        self.context.parameters.promptMode = mode
        if mode == "paint":
            self.context.ui.segmentEditor.setActiveEffectByName("Paint")
        else:
            self.context.ui.segmentEditor.setActiveEffect(None)
        if mode in (*ALONE, "points"):
            self.placement.start(self._positiveRole())
        self.refresh()

    def addKey(self) -> None:
        """The button below the modes: make the painted outline, or the previewed one, a key; or ask for a preview."""
        logic = self.context.logic
        if self.context.parameters.promptMode == "paint":
            view = self.context.viewOfOutline()
            if view is not None:
                self.context.parameters.view = view
            plane, index = self.context.planeAndSlice()
            logic.addKey(self.context.currentSegmentId(), index, plane)
            text = _("The outline lies in the {view} view: {plane} slice {number} is the key.") if view else ""
            if not text and logic.state in State.BUSY:
                text = _("Slice {number} is a key of the next run.")
            self.context.sayOfSegment(text.format(view=view, plane=planeTitle(plane), number=index))
        elif self.context.parameters.promptMode == "suggest":
            self._suggest.use()
        elif logic.previewed is not None:
            place = logic.previewed
            logic.usePreview()
            self.clearPrompt()
            text = _("The outline is in the segment and a key: correct it with Paint if needed.")
            if logic.state == State.IDLE:
                self.context.sayOfWritten(text, place[:1])
            else:  # lent to the segment, which is noticed as a stroke
                self.context.sayOfSegment(text)
        else:
            self.preview()

    def useDraft(self) -> None:
        """Let the worker tell which slices of the segment can be trusted; they become keys."""
        self._syncSettings()
        self.context.logic.useAsDraft(self.context.currentSegmentId())
        text, drafts = _("Comparing every slice with its neighbors..."), self.context.logic.drafts
        self.context.status.follow(lambda: text if drafts.isAsking else "")

    def lock(self) -> None:
        """Lock the slice in the view as the segment has it, or unlock it."""
        locked = self.context.ui.lockSliceButton.checked
        try:
            plane, index = self.context.planeAndSlice()
            segmentId = self.context.currentSegmentId()
            self.context.logic.confirmSlices(segmentId, [index], locked, plane)
            self.context.sayLocked((segmentId, plane, index), locked)
        finally:
            self.refresh()

    def preview(self) -> None:
        """Let the model outline the object at the box, the line or the points."""
        if not self._isPlaced():
            raise InputError(_("Nothing is placed yet: click in the view, or choose Paint to use what is drawn."))
        self._syncSettings()
        segmentId, (_plane, index) = self.context.currentSegmentId(), self.context.planeAndSlice()
        if self.context.parameters.promptMode == "box":
            self.context.logic.previewPrompt(segmentId, index, boxRas=self.placement.node("box"))
        elif self.context.parameters.promptMode == "line":
            self.context.logic.previewPrompt(segmentId, index, lineRas=self.placement.node("line"))
        else:
            points, positive = self.placement.points()
            self.context.logic.previewPrompt(segmentId, index, pointsRas=points, positive=positive)
        text, logic = _("Outlining slice {number}...").format(number=index), self.context.logic
        self.context.status.follow(lambda: text if logic.isOutlining else "")

    def clearPrompt(self) -> None:
        """Remove the box or points, and the preview."""
        self.placement.stop()
        self.placement.clear()
        self.context.logic.dropPreview()
        self.refresh()

    def onPromptPlaced(self) -> None:
        """The user placed or moved a point or the box: show what the model makes of it."""
        if self._isPlaced() and self.context.logic.state in (State.IDLE, State.REVIEW):
            self.preview()
        self.refresh()

    def _isPlaced(self) -> bool:
        """Whether there is enough for an outline: a box, both ends of a line, or a point on the object."""
        positive = self.placement.points()[1]
        isReview = self.context.logic.state == State.REVIEW  # a proposal can be taken away from
        has = {"box": self.placement.hasBox, "line": self.placement.hasLine}
        return has.get(self._positiveRole(), lambda: any(positive) or (isReview and bool(positive)))()

    def _takeView(self) -> None:
        self.context.parameters.view = self.context.ui.viewSelector.currentData

    def _syncSettings(self) -> None:
        self.context.logic.setSettings(self.context.parameters.runSettings(self.context.plane()))

    def _togglePlacing(self, role: str) -> None:
        if self.placement.placing() == role:
            self.placement.stop()
        else:
            self.placement.start(role)
        self.refresh()

    def _positiveRole(self) -> str:
        mode = self.context.parameters.promptMode
        return mode if mode in ALONE else "positivePoints"

    def _onDraftTaken(self, segmentId: str, trusted: list[int], doubtful: list[int]) -> None:
        """The object ends where the draft does."""
        name, every = self.context.segmentName(segmentId), sorted([*trusted, *doubtful])
        self.context.parameters.giveRange(segmentId, self.context.plane(), every[0], every[-1])
        if not trusted:
            text = _(
                "No slice of {name} agrees well enough with its neighbors: outline one of its {count} slices by hand."
            )
        elif doubtful:
            text = _("{name}: {good} of {count} slices are keys now; Propagate redoes the others.")
        else:
            text = _("{name}: all {count} slices are keys now, none is in doubt.")
        self.context.sayOfSegment(text.format(name=name, good=len(trusted), count=len(every)))

    def _onPreviewReady(self, _segmentId: str, sliceIndex: int, areaMm2: float) -> None:
        text = _("Outline on slice {number}: {area} mm². Use it as key, then correct it with Paint if needed.")
        told, logic = text.format(number=sliceIndex, area=round(areaMm2)), self.context.logic
        self.context.status.follow(lambda: told if logic.previewed is not None else "")

    # ---- showing ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the parameters, the views' slices and the keys."""
        ui, mode = self.context.ui, self.context.parameters.promptMode
        for name, button in self._modes.items():
            showChosen(button, name == mode)
        self._refreshViews()
        ui.placeRow.setVisible(mode in (*ALONE, "points"))
        ui.placeNegativeButton.setVisible(mode == "points")
        placing = self.placement.placing()
        texts = {"box": _("Place box"), "line": _("Place line")}
        ui.placePositiveButton.text = texts.get(mode, _("On the object"))
        showChosen(ui.placePositiveButton, placing is not None and placing == self._positiveRole())
        showChosen(ui.placeNegativeButton, placing == "negativePoints")
        ids = self.context.segmentIds()
        ui.promptHint.text = hint(mode, self.context.segmentName(self.context.currentSegmentId()) if ids else "")
        ui.addKeyButton.text = self._keyButtonText(mode)
        ui.addKeyButton.enabled = self._canAddKey(mode)
        ui.useDraftButton.setVisible(mode == "paint" and self.context.logic.state != State.REVIEW)
        ui.useDraftButton.enabled = ui.addKeyButton.enabled and not self.context.logic.drafts.isAsking
        self._refreshLock()
        self._suggest.refresh()
        self.keyTable.refresh()

    def _canAddKey(self, mode: str) -> bool:
        logic = self.context.logic
        if mode == "suggest":
            return logic.state == State.IDLE and not logic.suggestions.isAsking and bool(logic.suggestions.ticked)
        has = mode == "paint" or logic.previewed is not None or self._isPlaced()
        return has and logic.state not in State.BUSY and bool(self.context.segmentIds())

    def _refreshLock(self) -> None:
        """In review, the button beside the drift strip does it."""
        ui, context = self.context.ui, self.context
        ui.lockSliceButton.setVisible(context.logic.state != State.REVIEW)
        ui.lockSliceButton.enabled = self._canAddKey("paint")
        try:
            plane, index = context.planeAndSlice()
            locked = context.isLocked(context.currentSegmentId(), plane, index)
        except InputError:
            locked = False
        ui.lockSliceButton.setChecked(locked)

    def _keyButtonText(self, mode: str) -> str:
        if mode == "suggest":
            count = len(self.context.logic.suggestions.ticked)
            return _("Use {count} ticked as keys").format(count=count) if count else _("Use what is ticked as keys")
        if mode == "paint":
            return _("Use current slice as key")
        return _("Use this outline as key") if self.context.logic.previewed is not None else _("Preview the outline")

    def _refreshViews(self) -> None:
        box = self.context.ui.viewSelector
        for row in range(box.count):
            name = box.itemData(row)
            node = sliceNodeOf(name)
            orientation = node.GetOrientation().lower() if node else ""
            text = _("{view}: {orientation}").format(view=name, orientation=planeTitle(orientation))
            if name == self.context.parameters.view:
                text += self._sliceText()
            if box.itemText(row) != text:
                box.setItemText(row, text)
        box.setCurrentIndex(box.findData(self.context.parameters.view))

    def _sliceText(self) -> str:
        if self.context.parameters.volume is None:
            return ""
        try:
            plane, index = self.context.planeAndSlice()
        except InputError:
            return ""
        return _(", slice {number} (0 to {last})").format(number=index, last=self.context.logic.sliceCount(plane) - 1)


def showChosen(button: Any, chosen: bool) -> None:
    """Check a button, and have its text bold: on a dark screen a button that is down hardly shows."""
    button.setChecked(chosen)
    font = button.font
    font.setBold(chosen)
    button.font = font


def hint(mode: str, name: str) -> str:
    """What to do next in a prompt mode, for the segment of that name."""
    text = {
        "paint": _("{name}: outline it on one slice with the editor below, then:"),
        "box": _("{name}: click two corners around it in the view, then:"),
        "line": _("{name}: click both ends of its longest diameter in the view, then:"),
        "points": _("{name}: click on it in the view; a click beside it takes that part away. Then:"),
        "suggest": _(
            "All segments of the template, from cases that are finished; nothing is written before you use it."
        ),
    }[mode]
    return text.format(name=name or _("Object"))
