"""*Compute on*: this computer, or a server that is named here, with the token that it gave."""

from __future__ import annotations

import json

import qt
import slicer
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.worker.messages import printable
from SegmentPropagateLib.worker.remote.address import read_address
from SegmentPropagateSlicer.Panel.Context import Context
from SegmentPropagateSlicer.Panel.Installer import CLIENT_PACKAGE, Installer, InstallError
from SegmentPropagateSlicer.Runs.Program import clientEnvironment, failedToStart, libraryFolder, python
from SegmentPropagateSlicer.Values.Server import Server, chosenServer, remember, rememberedServer
from SegmentPropagateSlicer.Values.Signal import Signal


class ComputeOn:
    """Address and token are kept in Slicer's settings, never in the scene, which may be given to others.

    Signals: `changed()`.

    Args:
        context: `Context`.
        installer: installs what reaches a server, once it is asked for.
    """

    def __init__(self, context: Context, installer: Installer) -> None:
        self.context, self.changed, self._installer = context, Signal(), installer
        ui, guarded = context.ui, context.status.guarded
        self._settings = slicer.app.userSettings()
        ui.computeOnSelector.addItem(_("This computer"), False)
        ui.computeOnSelector.addItem(_("Server"), True)
        ui.computeOnSelector.connect("activated(int)", guarded(self._take))
        for field in (ui.serverAddress, ui.serverToken):
            field.connect("editingFinished()", guarded(self._take))
        ui.testServerButton.connect("clicked()", guarded(self.ask))
        self._process = qt.QProcess(ui.testServerButton)
        self._process.setWorkingDirectory(libraryFolder())
        self._process.connect("finished(int,QProcess::ExitStatus)", guarded(self._onAnswer))
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._onError)
        self._show()

    def ask(self) -> None:
        """Ask the server who it is, in the background; the status line has the answer.

        This button also installs what is needed for it: pip blocks the main thread, and nobody presses it by chance.
        """
        self._take()
        server = rememberedServer(self._settings)
        if self._misses(server):
            self.context.status.say(_("Installing {name}...").format(name=CLIENT_PACKAGE))
            slicer.app.processEvents()
            try:
                self._installer.installClient()
            except InstallError as error:
                raise InputError(str(error)) from error
        self.context.ui.testServerButton.enabled = False
        self.context.status.say(_("Asking {address}...").format(address=server.address))
        self._process.setProcessEnvironment(clientEnvironment(server))
        self._process.start(python(), [*server.arguments, "--check"])

    def stop(self) -> None:
        """Ask no longer."""
        self._process.blockSignals(True)  # the panel is going, with its status line
        self._process.kill()
        self._process.waitForFinished(500)

    # ---- choosing -----------------------------------------------------------------------------------------------

    def _take(self) -> None:
        """Obey the fields from the next run on; refused while the worker is busy, and they then show what holds."""
        ui, settings = self.context.ui, self._settings
        server, isChosen = Server(ui.serverAddress.text.strip(), ui.serverToken.text.strip()), self._isServer
        wanted = server if isChosen else None
        if (server, wanted) == (rememberedServer(settings), chosenServer(settings)):
            return
        try:
            self.context.logic.computeOn(wanted)
            remember(settings, server, isChosen)
        finally:
            self._show()
        self.changed.emit()
        self._tell(wanted)

    def _tell(self, server: Server | None) -> None:
        say = self.context.status.say
        if server is None:
            say(_("The next run computes on this computer."))
        elif not server.address:
            say(_("Enter the server's address and the token that its keeper gave you."))
        else:
            host = read_address(server.address).host
            text = _("The next run computes on {host}, which is sent the image.").format(host=host)
            if self._misses(server):
                text += " " + _("Press Test first: it installs {name}, which is missing.").format(name=CLIENT_PACKAGE)
            say(text)

    def _misses(self, server: Server) -> bool:
        """Whether something has to be installed to reach a server; InputError for an address that is none."""
        return read_address(server.address).scheme != "ssh" and not self._installer.reachesServers()

    @property
    def _isServer(self) -> bool:
        return bool(self.context.ui.computeOnSelector.currentData)

    def _show(self) -> None:
        ui, server = self.context.ui, rememberedServer(self._settings)
        isServer = chosenServer(self._settings) is not None
        ui.computeOnSelector.setCurrentIndex(int(isServer))
        ui.serverAddress.text, ui.serverToken.text = server.address, server.token
        for widget in (ui.serverLabel, ui.serverBox, ui.testServerButton):
            widget.setVisible(isServer)
        for widget in (ui.deviceLabel, ui.deviceSelector):
            widget.setVisible(not isServer)  # a server chooses for itself

    # ---- the answer ---------------------------------------------------------------------------------------------

    def _onAnswer(self) -> None:
        status = self.context.status
        self.context.ui.testServerButton.enabled = True
        answer, log = (
            bytes(data.data()).decode(errors="replace")
            for data in (self._process.readAllStandardOutput(), self._process.readAllStandardError())
        )
        lines = log.strip().splitlines()
        if self._process.exitCode() == 0:
            status.say(sentenceOf(answer))
        elif lines:
            if lines[:-1]:
                status.log("\n".join(lines[:-1]))
            status.complain(printable(lines[-1]))
        else:
            status.complain(_("The test ended without an answer: try again."))

    def _onError(self, error: object) -> None:
        if failedToStart(error):  # else it finishes too
            self.context.ui.testServerButton.enabled = True
            self.context.status.complain(_("The test could not be started ({program}).").format(program=python()))


def sentenceOf(answer: str) -> str:
    """What a server says of itself, a line of JSON, as a sentence; whoever came in by SSH is told no name."""
    try:
        told = json.loads(answer)
        version, user = printable(str(told["version"])), printable(str(told.get("user") or ""))
        models = ", ".join(printable(str(model["name"])) for model in told.get("models") or ())
    except (ValueError, TypeError, KeyError, AttributeError):
        return _("The server answers something unreadable: is the address right?")
    if not user:
        return _("The server answers (version {version}).").format(version=version)
    text = _("The server answers (version {version}) and knows you as {user}. Models: {models}.")
    return text.format(version=version, user=user, models=models)
