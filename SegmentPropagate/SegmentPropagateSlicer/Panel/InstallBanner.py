"""The banner that appears while PyTorch or SAM 2 are missing."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from SegmentPropagateSlicer.Panel.Context import Context
from SegmentPropagateSlicer.Panel.Installer import Installer, InstallError


class InstallBanner:
    """Says what is missing, installs it on one press, can be pressed again after a failure.

    Args:
        context: `Context`.
        installer: `Installer`.
    """

    def __init__(self, context: Context, installer: Installer) -> None:
        self.context, self.installer = context, installer
        context.ui.installProgress.hide()
        context.ui.installButton.connect("clicked()", context.status.guarded(self.install))
        self.refresh()

    def refresh(self) -> None:
        """Show what is missing, or nothing."""
        sentence = self.installer.sentence()
        self.context.ui.installLabel.text = sentence
        self.context.ui.installBanner.setVisible(bool(sentence))

    def install(self) -> None:
        """Install everything that is missing."""
        ui = self.context.ui
        ui.installButton.enabled = False
        ui.installProgress.show()
        try:
            self.installer.install(self._progress)
        except InstallError as error:
            self.context.status.log(repr(error.__cause__ or error))
            self.refresh()
            ui.installLabel.text = str(error)
        else:
            self.refresh()
            self._takeNetwork()
        finally:
            ui.installButton.enabled = True
            ui.installProgress.hide()

    def _takeNetwork(self) -> None:
        """What was installed is used, unless the user had chosen the model that needs nothing."""
        parameters, chosen = self.context.parameters, slicer.app.userSettings().value("SegmentPropagate/model", "")
        if parameters.model == "classical" and chosen != "classical":
            parameters.model = "starter"
        self.context.status.say(_("Installed. The model is '{name}' now.").format(name=Path(parameters.model).name))

    def _progress(self, sentence: str, done: int, total: int) -> None:
        ui = self.context.ui
        ui.installLabel.text = sentence
        ui.installProgress.setRange(0, total)
        ui.installProgress.setValue(done)
        slicer.app.processEvents()  # pip blocks the main thread, where Slicer requires it: show the step before
