"""The section Cases: a list of images, one opened after another, results saved without being asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.templates import template_as_json
from SegmentPropagateLib.formats.worklist import DONE, IN_WORK, STATES, WorkCase
from SegmentPropagateSlicer.Panel.Autosave import Autosave
from SegmentPropagateSlicer.Panel.Context import Context
from SegmentPropagateSlicer.Panel.InputSection import InputSection, images
from SegmentPropagateSlicer.Panel.ObjectControls import ObjectControls
from SegmentPropagateSlicer.Panel.PromptSection import PromptSection
from SegmentPropagateSlicer.Panel.Thumbnails import SIZE, Thumbnails
from SegmentPropagateSlicer.Values.State import State
from SegmentPropagateSlicer.Worklist.Casework import Casework
from SegmentPropagateSlicer.Worklist.Segments import infosOf, isFree
from SegmentPropagateSlicer.Worklist.WorkTime import WorkTime

RECENT, RESULTS = "recentWorklists", "recentResults"
SCENE, OTHER = "*", "?"  # in place of a path


class WorklistSection:
    """Opens, saves and lists cases; *Next case* is one step.

    Args:
        context: `Context`.
        inputs: takes the image and the segmentation of a case.
        prompt: is armed for the next case.
        objects: has the template, and accepts what waits.
    """

    def __init__(self, context: Context, inputs: InputSection, prompt: PromptSection, objects: ObjectControls) -> None:
        self.context, self.casework, self.workTime = context, Casework(), WorkTime()
        self._inputs, self._prompt, self._objects, self._preferences = inputs, prompt, objects, objects.preferences
        self._shown: list[tuple[str, str]] | None = None
        self._results = ""  # folder; empty for beside the images
        self.autosave = Autosave(context, self.casework, lambda: self.workTime, self._kept, objects.preferences)
        self._pictures: dict[str, qt.QIcon] = {}
        pictures = Path(slicer.app.temporaryPath) / "SegmentPropagate"
        self._thumbnails = Thumbnails(pictures, context.ui.caseTable, self._showPicture)
        self.casework.changed.connect(self._wantPictures)
        self._fill()
        ui, guarded = context.ui, context.status.guarded
        for button, slot in ((ui.nextCaseButton, self.next), (ui.previousCaseButton, self.previous),
                             (ui.saveCaseButton, self.save), (ui.caseDoneButton, self.toggleDone)):  # fmt: skip
            button.connect("clicked()", guarded(slot))
        self._menu.connect("aboutToShow()", guarded(self._fillMenu))
        ui.resultsSelector.connect("activated(int)", guarded(self._takeResults))
        ui.stateFilter.connect("activated(int)", guarded(self.refresh))
        ui.nameFilter.connect("textChanged(QString)", guarded(self.refresh))
        ui.caseTable.connect("cellDoubleClicked(int,int)", guarded(self._openSelected))
        ui.autosaveSpinBox.connect("valueChanged(int)", guarded(self._takeMinutes))
        context.logic.accepted.connect(guarded(self.autosave.atOnce))

    def _fill(self) -> None:
        ui = self.context.ui
        self._menu = qt.QMenu(ui.openListButton)
        ui.openListButton.setMenu(self._menu)
        ui.stateFilter.addItem(_("All"), "")
        for state in STATES:
            ui.stateFilter.addItem(stateTitles()[state], state)
        ui.caseTable.setColumnCount(2)
        ui.caseTable.setHorizontalHeaderLabels([_("Case"), _("State")])
        ui.caseTable.verticalHeader().hide()
        ui.caseTable.verticalHeader().setDefaultSectionSize(SIZE + 4)
        ui.caseTable.setIconSize(qt.QSize(SIZE, SIZE))
        header = ui.caseTable.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        ui.autosaveSpinBox.setValue(self._preferences["autosaveMinutes"])
        self._fillResults()

    # ---- the list -----------------------------------------------------------------------------------------------

    def _fillMenu(self) -> None:
        self._menu.clear()
        choices: dict[str, Callable[[], None]] = {
            _("Folder of images..."): self._askForFolder,
            _("List (CSV, JSON)..."): self._askForList,
            _("Images of the scene"): partial(self.use, SCENE),
        }
        recent = [path for path in self._preferences.recent(RECENT) if Path(path).exists()]
        choices.update({path: partial(self.use, path) for path in recent})
        for text, slot in choices.items():
            self._menu.addAction(text).connect("triggered()", self.context.status.guarded(slot))

    def _askForFolder(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of images"), self._start())
        if path:
            self.use(path)

    def _askForList(self) -> None:
        window, kinds = slicer.util.mainWindow(), _("Lists") + " (*.csv *.json)"
        path = qt.QFileDialog.getOpenFileName(window, _("List of images"), self._start(), kinds)
        if path:
            self.use(path)

    def _start(self) -> str:
        return next(iter(self._preferences.recent(RECENT)), "")

    def use(self, source: str) -> None:
        """Work through a folder, a list, or the images of the scene (`SCENE`), from where it was left."""
        self._leave()
        if source == SCENE:
            if not self._results:
                raise InputError(_("Choose a folder for the results first: images of the scene may have none."))
            self.casework.useScene(images(), self._results)
        else:
            self.casework.useSource(source, self._results or None)
            self._preferences.remember(RECENT, source)
        worklist, project = self.casework.worklist, self.casework.project
        if project is not None:
            settings, folder = project.project.settings, project.project.folder
            self.context.parameters.template = template_as_json(settings.segments)
            self.context.parameters.templateName = _("as in {case}").format(case=folder.name)
        case = worklist.resume() if worklist is not None else None
        if case is None:
            self.context.status.say(self._allDone())
        else:
            self._open(case)
        self.refresh()

    def _fillResults(self) -> None:
        box = self.context.ui.resultsSelector
        box.clear()
        box.addItem(_("Results beside the images"), "")
        for path in self._preferences.recent(RESULTS):
            box.addItem(_("Results in {folder}").format(folder=path), path)
        box.addItem(_("Results in another folder..."), OTHER)
        box.setCurrentIndex(max(0, box.findData(self._results)))

    def _takeResults(self) -> None:
        chosen = self.context.ui.resultsSelector.currentData
        if chosen == OTHER:
            title = _("Folder for the results")
            chosen = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, self._start())
        self.useResults(chosen or self._results)

    def useResults(self, folder: str) -> None:
        """Save the results of the next list in a folder; an empty text is for beside the images."""
        self._results = folder
        if folder:
            self._preferences.remember(RESULTS, folder)
        self._fillResults()

    # ---- cases --------------------------------------------------------------------------------------------------

    def next(self) -> None:
        """Accept what waits, save, open the next case that is not done."""
        if self.casework.worklist is None:
            raise InputError(_("Open a worklist under Cases first."))
        self._objects.settle()
        self.workTime.note()
        said = self._saveAsDone()
        following = self.casework.next()
        if following is None:
            self.context.status.say(" ".join(filter(None, [said, self._allDone()])))
        elif following.name == self.casework.name:
            self.context.status.say(said)
        else:
            self._open(following, said)

    def previous(self) -> None:
        """Save, and open the case before."""
        case = self.casework.previous() if self.casework.worklist is not None else None
        if case is None:
            raise InputError(_("There is no case before this one."))
        self._open(case, self._leave())

    def save(self) -> None:
        """Write the open case now."""
        self.workTime.note()
        said = self._save()
        case = self.casework.case
        self.context.status.say(said or _("Saved: {file}").format(file=case.labels if case else ""))

    def _save(self, state: str | None = None) -> str:
        """Write the open case, but nothing of a proposal that nobody has accepted; see `Casework.save`."""
        self.autosave.settle()
        self.context.logic.giveBackLent()
        return self.casework.save(state, self._kept())

    def _kept(self) -> dict[str, Any]:
        return {**self.context.parameters.kept, "seconds": round(self.workTime.seconds, 1)}

    def toggleDone(self) -> None:
        """Mark the open case as done, or as in work again."""
        done = self.context.ui.caseDoneButton.checked
        self.workTime.note()
        if done:
            self._save(DONE)
        else:
            self.casework.note(IN_WORK)

    def _openSelected(self) -> None:
        row, worklist = self.context.ui.caseTable.currentRow(), self.casework.worklist
        if worklist is not None and self._shown and 0 <= row < len(self._shown):
            case = worklist.case(self._shown[row][0])
            if case is not None and case.name != self.casework.name:
                self._open(case, self._leave())

    def _leave(self) -> str:
        """See that nothing is lost when another case is opened; returns what is to be said."""
        self._objects.settle()
        self.workTime.note()
        self.autosave.settle()
        return self._save() if self.casework.isUnsaved else ""

    def _saveAsDone(self) -> str:
        """Save the open case; one in which nothing was drawn, and nothing is to be saved, is only passed over."""
        case, nodes = self.casework.case, self.casework.nodes
        if case is None or nodes is None:
            return ""
        ids = nodes[1].GetSegmentation().GetSegmentIDs()
        if case.draft is None and case.state != DONE and all(isFree(nodes[1], segmentId) for segmentId in ids):
            text = _("Nothing is drawn in '{name}': it stays in work. Press Done if there is nothing to be found.")
            return text.format(name=case.name)
        return self._save(DONE)

    def _open(self, case: WorkCase, said: str = "") -> None:
        parameters, casework = self.context.parameters, self.casework
        self._keepTemplate()
        volume, segmentation = casework.load(case, parameters.segments)
        if casework.nodes is not None:  # what belongs to a case is kept with it, not in the scene
            parameters.kept = {}
        parameters.volume, parameters.segmentation = volume, segmentation
        self._inputs.follow()
        self._inputs.refresh()  # before a list that shows the old nodes loses them, and chooses none
        casework.close()
        held = casework.worklist.holder(case.name) if casework.worklist else ""
        casework.open(case, (volume, segmentation))
        self.workTime.begin(_secondsOf(case))
        parameters.kept = case.kept
        self.context.logic.setKeys(parameters.keys)
        slicer.util.setSliceViewerLayers(background=volume, foreground=None, label=None, fit=True)
        self._prompt.chooseMode(parameters.promptMode)
        text = _("Case '{name}' is open ({number} of {count}).")
        names = [known.name for known in casework.worklist.cases] if casework.worklist else []
        opened = text.format(name=case.name, number=names.index(case.name) + 1, count=len(names))
        if held:
            opened += " " + _("{person} works on it, too: nothing of theirs is overwritten.").format(person=held)
        self.context.status.say(" ".join(filter(None, [said, opened])))

    def _keepTemplate(self) -> None:
        """Without a template, the next case gets the segments of this one."""
        parameters, nodes = self.context.parameters, self.casework.nodes
        if not parameters.segments and nodes is not None:
            parameters.template = template_as_json(infosOf(nodes[1]))
            parameters.templateName = _("as in {case}").format(case=self.casework.name)

    def _allDone(self) -> str:
        count = len(self.casework.worklist.cases) if self.casework.worklist else 0
        return _("All {count} cases are done.").format(count=count)

    # ---- saving by itself ---------------------------------------------------------------------------------------

    def _takeMinutes(self) -> None:
        self._preferences["autosaveMinutes"] = self.context.ui.autosaveSpinBox.value
        self.autosave.stop()
        self.refresh()

    def saveBeforeItGoes(self) -> None:
        """The scene is about to be closed, or Slicer."""
        self.autosave.stop()
        if self.casework.isUnsaved:
            self.context.status.guarded(self._save)()
        self.casework.forget()
        self._thumbnails.stop()

    # ---- showing ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the list, and see to it that what was drawn is saved in time."""
        ui, casework = self.context.ui, self.casework
        casework.follow(self.context.parameters.volume, self.context.parameters.segmentation)
        self.autosave.watch()
        free, case = self.context.logic.state not in State.BUSY, casework.case
        ui.nextCaseButton.setVisible(casework.worklist is not None)
        for button in (ui.nextCaseButton, ui.openListButton):
            button.enabled = free
        for button in (ui.previousCaseButton, ui.saveCaseButton, ui.caseDoneButton):
            button.enabled = free and case is not None
        ui.caseDoneButton.setChecked(case is not None and case.state == DONE)
        self._refreshTable()

    def _refreshTable(self) -> None:
        ui, worklist = self.context.ui, self.casework.worklist
        state, part = ui.stateFilter.currentData, ui.nameFilter.text.lower()
        shown = [(case.name, case.state) for case in (worklist.cases if worklist else ())
                 if state in ("", case.state) and part in case.name.lower()]  # fmt: skip
        if shown != self._shown:
            self._shown, titles = shown, stateTitles()
            ui.caseTable.setRowCount(len(shown))
            for row, (name, known) in enumerate(shown):
                item = qt.QTableWidgetItem(name)
                if name in self._pictures:
                    item.setIcon(self._pictures[name])
                ui.caseTable.setItem(row, 0, item)
                ui.caseTable.setItem(row, 1, qt.QTableWidgetItem(titles[known]))
        names = [name for name, _state in shown]
        if self.casework.name in names:
            ui.caseTable.selectRow(names.index(self.casework.name))
        else:
            ui.caseTable.clearSelection()

    def _wantPictures(self) -> None:
        """The list, or a result, is another: ask anew; what is as it was costs a look at the disk."""
        worklist = self.casework.worklist
        self._thumbnails.want(worklist.cases if worklist is not None else ())

    def _showPicture(self, name: str, file: Path) -> None:
        self._pictures[name] = qt.QIcon(str(file))
        row = next((row for row, (shown, _state) in enumerate(self._shown or ()) if shown == name), None)
        if row is not None:
            self.context.ui.caseTable.item(row, 0).setIcon(self._pictures[name])


def _secondsOf(case: WorkCase) -> float:
    """How long she has worked on a case before."""
    seconds = case.kept.get("seconds")
    return float(seconds) if isinstance(seconds, (int, float)) and seconds >= 0 else 0.0


def stateTitles() -> dict[str, str]:
    """The states in the user's language."""
    return {"to do": _("to do"), "proposed": _("proposed"), "in work": _("in work"), "done": _("done")}
