"""The Model section: which model runs, what it is, and the advanced settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SegmentPropagateLib.models.registry import FILE_ENDINGS, REGISTRY
from SegmentPropagateSlicer.Panel.ComputeOn import ComputeOn
from SegmentPropagateSlicer.Panel.Context import Context
from SegmentPropagateSlicer.Panel.Devices import Devices
from SegmentPropagateSlicer.Panel.Installer import Installer
from SegmentPropagateSlicer.Panel.Licence import isConfirmed
from SegmentPropagateSlicer.Scene.Parameters import Parameters
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.State import State

RECENT_KEY = "SegmentPropagate/recentCheckpoints"
REMEMBERED = ("model", "device", "precision", "adapt")
RECENT_FILES = 8
OPEN_FILE_FILTER = " ".join(f"*{ending}" for ending in FILE_ENDINGS)


class ModelSection:
    """Choosing a model shows at once what it is; the choice is remembered for the next Slicer session.

    Signals: `chosen(model)`.

    Args:
        context: `Context`.
        installer: for what reaches a server.
    """

    def __init__(self, context: Context, installer: Installer) -> None:
        self.context, self.chosen = context, Signal("model")
        self._inspected: dict[str, str] = {}  # model -> sentence
        ui, guarded = context.ui, context.status.guarded
        for box, name, choices in self._choices():
            for value, text in choices:
                box.addItem(text, value)
            box.connect("activated(int)", guarded(partial(self._takeChoice, box, name)))
        for box, name in self._numbers():
            box.connect("editingFinished()", guarded(partial(self._takeNumber, box, name)))
        self._recentMenu = qt.QMenu(ui.openCheckpointButton)
        ui.openCheckpointButton.setMenu(self._recentMenu)
        self._recentMenu.connect("aboutToShow()", guarded(self._fillRecentMenu))
        ui.openCheckpointButton.connect("clicked()", guarded(self.openFile))
        ui.modelSelector.connect("activated(int)", guarded(lambda: self.choose(ui.modelSelector.currentData)))
        context.logic.modelInspected.connect(self._onInspected)
        self.devices = Devices(guarded(self._fillDevices), ui.deviceSelector)
        self._fillDevices()
        self.computeOn = ComputeOn(context, installer)

    def stop(self) -> None:
        """End what was asked for in the background."""
        self.devices.stop()
        self.computeOn.stop()

    # ---- one row per setting, bound to the parameter of that name -----------------------------------------------

    def _choices(self) -> tuple[tuple[Any, str, tuple[tuple[str, str], ...]], ...]:
        """List, parameter, and the choices as `(value, text)`; the devices are filled in as they become known."""
        ui = self.context.ui
        return (
            (ui.deviceSelector, "device", ()),
            (
                ui.precisionSelector,
                "precision",
                (("auto", _("Automatic")), ("exact", _("Exact (32 bit)")), ("bf16", _("Fast (16 bit)"))),
            ),
            (
                ui.passModeSelector,
                "passMode",
                (("independent", _("Independent")), ("coupled", _("Coupled, as published"))),
            ),
            (ui.roiSelector, "roi", (("auto", _("Around the object")), ("off", _("Whole slice")))),
        )

    def _numbers(self) -> tuple[tuple[Any, str], ...]:
        """Spin box and parameter: every whole number of `Parameters` has a box of its name; 0 stands for None."""
        return tuple((getattr(self.context.ui, f"{name}SpinBox"), name) for name in Parameters.wholeNumbers())

    # ---- remembered choices -------------------------------------------------------------------------------------

    def restoreRemembered(self, networksMissing: bool) -> None:
        """Take what was chosen in the last Slicer session into a parameter node that has none of it.

        Args:
            networksMissing: whether PyTorch or SAM 2 are not installed; the first model is then the classical one.
        """
        node, settings = self.context.parameters.node, slicer.app.userSettings()
        if node is None:
            return
        for name in REMEMBERED:
            value = settings.value(f"SegmentPropagate/{name}", "")
            if value and not node.GetParameter(name):
                setattr(self.context.parameters, name, str(value))
        if not node.GetParameter("model"):
            self.context.parameters.model = "classical" if networksMissing else "starter"

    def recentFiles(self) -> list[str]:
        """Checkpoint files that were opened, latest first, as far as they still exist."""
        return [path for path in str(slicer.app.userSettings().value(RECENT_KEY, "") or "").split(os.pathsep)
                if path and Path(path).is_file()]  # fmt: skip

    # ---- actions ------------------------------------------------------------------------------------------------

    def openFile(self) -> None:
        """Let the user pick a checkpoint file."""
        recent = self.recentFiles()
        start = str(Path(recent[0]).parent) if recent else ""
        path = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(), _("Open checkpoint file"), start, _("Checkpoints") + f" ({OPEN_FILE_FILTER})"
        )
        if path:
            self.useFile(path)

    def useFile(self, path: str) -> None:
        """Choose a checkpoint file and remember it."""
        files = [path, *[known for known in self.recentFiles() if known != path]]
        slicer.app.userSettings().setValue(RECENT_KEY, os.pathsep.join(files[:RECENT_FILES]))
        self.choose(path)

    def choose(self, model: str) -> None:
        """Choose a registered model or a file, and have files recognised; a licence may have to be confirmed first."""
        if model in REGISTRY and not isConfirmed(REGISTRY[model]):
            self.refresh()
            return
        self._choose("model", model)
        self.chosen.emit(model)
        self.refresh()
        if model not in REGISTRY and model not in self._inspected:
            self.context.ui.modelInfo.text = _("Reading {file}...").format(file=Path(model).name)
            self.context.logic.inspectModel(model, self.context.parameters.imageSize)

    def _takeChoice(self, box: Any, name: str) -> None:
        self._choose(name, box.currentData)

    def _takeNumber(self, box: Any, name: str) -> None:
        self._choose(name, box.value or None)

    def _choose(self, name: str, value: str | int | None) -> None:
        setattr(self.context.parameters, name, value)
        if name in REMEMBERED:
            slicer.app.userSettings().setValue(f"SegmentPropagate/{name}", value)

    def _onInspected(self, summary: Mapping[str, Any]) -> None:
        self._inspected[summary["path"]] = summary["sentence"]
        self.refresh()

    def _fillRecentMenu(self) -> None:
        self._recentMenu.clear()
        for path in self.recentFiles():
            action = self._recentMenu.addAction(Path(path).name)
            action.toolTip = path
            action.connect("triggered()", self.context.status.guarded(partial(self.useFile, path)))
        if not self.recentFiles():
            self._recentMenu.addAction(_("No recent files")).enabled = False

    # ---- showing ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the parameters."""
        ui, parameters = self.context.ui, self.context.parameters
        for widget in (ui.modelSelector, ui.openCheckpointButton, ui.advancedSection):
            widget.enabled = self.context.logic.state not in State.BUSY
        self._fillModels(parameters.model)
        ui.modelInfo.text = self._inspected.get(parameters.model) or describe(parameters.model)
        if ui.deviceSelector.findData(parameters.device) < 0:
            self._fillDevices()
        for box, name, _choices in self._choices():
            box.setCurrentIndex(box.findData(getattr(parameters, name)))
        for box, name in self._numbers():
            box.setValue(getattr(parameters, name) or 0)

    def _fillDevices(self) -> None:
        box, chosen = self.context.ui.deviceSelector, self.context.parameters.device
        choices = self.devices.choices()
        if chosen not in [value for value, _text in choices]:
            choices.append((chosen, chosen))  # saved on another machine
        box.clear()
        for value, text in choices:
            box.addItem(text, value)
        box.setCurrentIndex(box.findData(chosen))

    def _fillModels(self, chosen: str) -> None:
        box = self.context.ui.modelSelector
        wanted = [*REGISTRY, *([] if chosen in REGISTRY else [chosen])]
        if [box.itemData(row) for row in range(box.count)] != wanted:
            box.clear()
            for model in wanted:
                box.addItem(title(model), model)
        box.setCurrentIndex(wanted.index(chosen))


def title(model: str) -> str:
    """What the list calls a model: its name, or the file's."""
    return model if model in REGISTRY else Path(model).name


def describe(model: str) -> str:
    """One line about a registered model, its licence and its download; for a file, its path."""
    known = REGISTRY.get(model)
    if known is None:
        return model if Path(model).is_file() else _("This file is no longer there: choose another model.")
    about = known.about[:1].upper() + known.about[1:]
    parts = [f"{about}.", _("Licence: {licence}.").format(licence=known.licence)]
    if known.awaits_consent:
        parts.append(_("To be confirmed by choosing it."))
    if not known.is_ready and known.url is None:
        parts.append(_("Not part of this installation."))
    elif not known.is_ready:
        size = _(" ({size} MB)").format(size=round(known.size_bytes / 1e6)) if known.size_bytes else ""
        parts.append(_("Downloaded on first use{size}.").format(size=size))
    return " ".join(parts)
