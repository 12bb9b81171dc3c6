"""The prompt *Suggest*: key slices and ranges from finished cases, to be ticked, looked at and used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateSlicer.Panel.Context import Context
from SegmentPropagateSlicer.Panel.Writing import Writing
from SegmentPropagateSlicer.Scene.Parameters import ALL_VISIBLE
from SegmentPropagateSlicer.Values.State import State
from SegmentPropagateSlicer.Values.Suggestion import Suggestion, Support
from SegmentPropagateSlicer.Worklist.Preferences import Preferences
from SegmentPropagateSlicer.Worklist.Segments import Nameless, makeSegment, segmentsByName

RECENT = "recentSupports"
WORKLIST, OTHER = "*", "?"  # in place of a path
ROWS_SHOWN, ROW_HEIGHT = 6, 24

Files = tuple[tuple[str, str], ...]


class SuggestSection:
    """Chooses the finished cases, asks for all labels at once, and lists what comes.

    Args:
        context: `Context`.
        preferences: remembers the choice.
        writing: writes what is used.
        finished: gives image and labels of the worklist's finished cases, but for the open one; None without a list.
    """

    def __init__(
        self, context: Context, preferences: Preferences, writing: Writing, finished: Callable[[], Files | None]
    ) -> None:
        self.context, self._preferences, self._writing, self._finished = context, preferences, writing, finished
        self._shown: tuple[Suggestion, ...] = ()
        self._texts: list[str] = []  # a row each
        self._boxes: list[qt.QCheckBox] = []  # one for each
        self._chosen = ""  # by the user since the panel was opened
        ui, guarded = context.ui, context.status.guarded
        self.table: qt.QTableWidget = ui.suggestionTable
        self.table.setColumnCount(1)
        self.table.horizontalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.table.setVisible(False)
        ui.supportSelector.connect("activated(int)", guarded(self._takeSupport))
        ui.suggestAllButton.connect("clicked()", guarded(self.suggest))
        self.table.connect("cellDoubleClicked(int,int)", guarded(self._jump))
        suggestions = context.logic.suggestions
        suggestions.ended.connect(guarded(self._onEnded))

    # ---- actions ------------------------------------------------------------------------------------------------

    def suggest(self) -> None:
        """Ask for every label of the template; without one, for every label that the finished cases have."""
        context = self.context
        support = self._support()
        context.logic.setSettings(context.parameters.runSettings(context.plane()))
        context.status.clear()
        context.logic.suggest(support, [info.name for info in context.parameters.segments])

    def use(self) -> None:
        """Make what is ticked keys, each with its range; the rest stays in the list."""
        node, logic = self.context.parameters.segmentation, self.context.logic
        if node is None:
            raise InputError(_("Choose a segmentation first."))
        find, make = partial(self._find, node), partial(self._make, node, Nameless(node))
        asked, plane = logic.suggestions.ticked, logic.suggestions.plane
        self._writing.start(partial(logic.useSuggestions, find, make), partial(self._onUsed, plane, asked))

    def _onUsed(self, plane: str, asked: Sequence[Suggestion], used: Mapping[str, Suggestion]) -> None:
        context = self.context
        for segmentId, one in used.items():
            context.parameters.giveRange(segmentId, plane, one.first, one.last)
        last = next(iter(used), None)
        if len(used) > 1:
            context.parameters.segment = ALL_VISIBLE
        elif last is not None:
            context.parameters.segment = last
        if last is not None:
            context.ui.segmentEditor.setCurrentSegmentID(last)
        context.sayOfWritten(self._said(used, asked), used)

    def _said(self, used: Mapping[str, Suggestion], asked: Sequence[Suggestion]) -> str:
        names = [one.name for one in used.values()]
        left = [one.name for one in asked if one.name not in names]
        text = _("Keys and ranges now: {names}. Correct them with Paint if needed, then propagate.")
        sentences = [text.format(names=", ".join(names))] if names else []
        if left:
            text = _("Drawn there already, so left as they are: {names}.")
            sentences.append(text.format(names=", ".join(left)))
        return " ".join(sentences)

    @staticmethod
    def _find(node: slicer.vtkMRMLSegmentationNode, name: str) -> str | None:
        return segmentsByName(node).get(name.casefold())

    def _make(self, node: slicer.vtkMRMLSegmentationNode, nameless: Nameless, one: Suggestion) -> str:
        """A segment for a suggestion: one of the nameless ones, as long as there are some left, or a new one."""
        template = {info.name.casefold(): info for info in self.context.parameters.segments}
        info = template.get(one.name.casefold(), SegmentInfo(one.number, one.name, one.color))
        free = nameless.take()
        return makeSegment(node, info, () if free is None else [free])

    def _jump(self) -> None:
        self._look(self.table.currentRow())

    def _look(self, row: int) -> None:
        if 0 <= row < len(self._shown) and self._shown[row].isHere:
            self._lookAt(self._shown[row])

    def _lookAt(self, one: Suggestion) -> None:
        self.context.jumpToSlice(one.sliceIndex, self.context.logic.suggestions.plane)

    def _tick(self, row: int, box: Any) -> None:
        """Have a row taken or not; ticking it shows its slice."""
        on = bool(box.checked)
        self.context.logic.suggestions.tick(self._shown[row].number, on)
        if on:
            self._look(row)

    def _onEnded(self) -> None:
        shown = self.context.logic.suggestions.all
        here = [one for one in shown if one.isHere]
        text = _(
            "{found} of {count} are suggested, {sure} of them with confidence: look at the outlines, tick what is "
            "right, then use it."
        )
        sure = sum(one.isTicked for one in here)
        self.context.status.say(text.format(found=len(here), count=len(shown), sure=sure))
        if here:
            self._lookAt(next((one for one in here if one.isTicked), here[0]))

    # ---- finished cases -----------------------------------------------------------------------------------------

    def _takeSupport(self) -> None:
        chosen = self.context.ui.supportSelector.currentData
        if chosen == OTHER:
            title, start = _("Folder of finished cases"), next(iter(self._folders()), "")
            chosen = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, start)
        self.useSupport(chosen or "")

    def useSupport(self, chosen: str) -> None:
        """Take a folder, or the worklist's finished cases (`WORKLIST`); an empty text leaves the choice."""
        if chosen:
            self._chosen = chosen
            self._preferences.remember(RECENT, chosen)
        self.refresh()

    def _folders(self) -> list[str]:
        return [path for path in self._preferences.recent(RECENT) if path != WORKLIST]

    def _present(self, files: Files | None) -> str:
        """What is chosen: in this session, else the worklist where one is open, else what was taken last."""
        if self._chosen and (self._chosen != WORKLIST or files is not None):
            return self._chosen
        return next(iter(self._folders()), "") if files is None else WORKLIST

    def _support(self) -> Support:
        files = self._finished()
        chosen, files = self._present(files), tuple(pair for pair in files or () if Path(pair[1]).is_file())
        if chosen != WORKLIST:
            if not chosen:
                raise InputError(_("Choose a folder of finished cases first, or open a worklist under Cases."))
            return Support(folders=(str(Path(chosen).absolute()),))
        if not files:
            raise InputError(_("No other case of the worklist is done yet: choose a folder of finished cases."))
        return Support(cases=files)

    # ---- showing ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show what is chosen, and what has come."""
        ui, logic = self.context.ui, self.context.logic
        ui.suggestBox.setVisible(self.context.parameters.promptMode == "suggest")
        self._refreshSupport()
        free = logic.state not in State.BUSY and not logic.suggestions.isAsking
        ui.supportSelector.enabled = free
        ui.suggestAllButton.enabled = free and self.context.parameters.volume is not None
        if self._shown is not logic.suggestions.all:  # the texts of 20 rows take 25 ms
            self._refreshTable(logic.suggestions.all)

    def _refreshSupport(self) -> None:
        box, files = self.context.ui.supportSelector, self._finished()
        chosen = self._present(files)
        entries = {}
        if files is not None:
            entries[WORKLIST] = _("Finished cases of the worklist ({count})").format(count=len(files))
        folders = self._folders()
        for path in folders if chosen in (*folders, WORKLIST, "") else [chosen, *folders]:
            entries[path] = Path(path).name or path
        if not chosen:
            entries[""] = _("Finished cases...")
        entries[OTHER] = _("Another folder...")
        if [(box.itemData(row), box.itemText(row)) for row in range(box.count)] != list(entries.items()):
            box.clear()
            for data, text in entries.items():
                box.addItem(text, data)
        box.setCurrentIndex(box.findData(chosen))

    def _refreshTable(self, suggestions: tuple[Suggestion, ...]) -> None:
        """A tick changes no more than that: the box that was clicked must not be replaced while it tells so."""
        texts = [rowText(one) for one in suggestions]
        isKnown, self._shown, self._texts = texts == self._texts, suggestions, texts
        if isKnown:
            for box, one in zip(self._boxes, suggestions, strict=True):
                box.setChecked(one.isTicked)
            return
        self.table.setVisible(bool(suggestions))
        self.table.setRowCount(len(suggestions))
        del self._boxes[len(suggestions) :]
        for row, (one, text) in enumerate(zip(suggestions, texts, strict=True)):
            if row == len(self._boxes):
                self._boxes.append(self._box(row))
            self._fill(self._boxes[row], one, text)
        self.table.setFixedHeight(min(len(suggestions), ROWS_SHOWN) * self.table.rowHeight(0) + 4)

    def _box(self, row: int) -> qt.QCheckBox:
        box = qt.QCheckBox()
        box.connect("clicked()", self.context.status.guarded(partial(self._tick, row, box)))
        self.table.setCellWidget(row, 0, box)
        return box

    def _fill(self, box: qt.QCheckBox, one: Suggestion, text: str) -> None:
        box.text = text.replace("&", "&&")  # no mark of a shortcut
        box.setToolTip(one.reason or _("Double-click beside it, or tick it, to see its key slice."))
        box.setChecked(one.isTicked)
        box.enabled = one.isHere and not one.isUsed


def rowText(one: Suggestion) -> str:
    """What a row of the list says."""
    return ". ".join(filter(None, [one.sentence, one.reason]))
