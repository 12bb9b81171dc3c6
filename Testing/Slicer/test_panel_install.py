"""Installing PyTorch and SAM 2 from the panel, with stand-ins for pip and for the PyTorch extension."""

import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from panel_fixtures import openedPanel
from SegmentPropagateSlicer.Panel import Installer as module
from SegmentPropagateSlicer.Panel.Installer import Installer


class Machine:
    """Which packages are installed; pip and the PyTorch extension add to it."""

    def __init__(self, *installed):
        self.installed, self.calls, self.failure = set(installed), [], None

    def version(self, name):
        if name not in self.installed:
            raise PackageNotFoundError(name)
        return "1.0"

    def pip(self, arguments):
        self.calls.append((tuple(arguments), os.environ.get("SAM2_BUILD_CUDA")))
        if self.failure:
            raise self.failure
        self.installed.update(["sam2"] if "--no-deps" in arguments else ["hydra-core", "iopath"])

    def installTorch(self, **options):
        self.calls.append(("torch", options))
        if self.failure:
            raise self.failure
        self.installed.add("torch")
        return object()


@pytest.fixture
def machine(monkeypatch):
    fake = Machine()
    monkeypatch.setattr(module.importlib.metadata, "version", fake.version)
    return fake


def installerOn(machine):
    return Installer("requirements.txt", "requirements-sam2.txt", machine.pip, machine)


def test_the_banner_says_what_is_missing_how_large_it_is_and_what_works_without(slicer, machine):
    with openedPanel(slicer, installer=installerOn(machine)) as panel:
        assert panel.ui.installBanner.isVisible()
        for part in ("PyTorch", "SAM 2", "0.2 GB", "3 GB", "classical propagator works without"):
            assert part in panel.ui.installLabel.text
        assert panel.parameters.model == "classical"
        panel.press("addKeyButton")
        assert panel.ui.propagateButton.enabled


def test_one_press_installs_torch_first_and_then_sam2_without_build_isolation(slicer, machine):
    with openedPanel(slicer, installer=installerOn(machine)) as panel:
        panel.press("installButton")
        assert not panel.ui.installBanner.isVisible()
    torch, requirements, sam2 = machine.calls
    assert torch[0] == "torch"
    assert torch[1]["askConfirmation"] is False
    assert requirements == (("-r", "requirements.txt"), None)
    assert sam2 == (("--no-deps", "--no-build-isolation", "-r", "requirements-sam2.txt"), "0")
    assert "SAM2_BUILD_CUDA" not in os.environ


@pytest.mark.parametrize(("chosen", "model"), [("", "starter"), ("classical", "classical")])
def test_what_was_installed_is_used_unless_the_user_had_chosen_otherwise(slicer, machine, chosen, model):
    slicer.app.userSettings().setValue("SegmentPropagate/model", chosen)
    with openedPanel(slicer, installer=installerOn(machine)) as panel:
        assert panel.parameters.model == "classical"
        panel.press("installButton")
        assert panel.parameters.model == panel.ui.modelSelector.currentData == model
        assert panel.sentence() == f"Installed. The model is '{model}' now."


def test_a_failed_installation_gives_its_reason_and_can_be_tried_again(slicer, machine):
    machine.failure = OSError("resolving...\nNo space left on device")
    with openedPanel(slicer, installer=installerOn(machine)) as panel:
        panel.press("installButton")
        assert panel.ui.installLabel.text.startswith("PyTorch could not be installed: No space left on device.")
        assert panel.ui.installButton.enabled
        machine.failure = None
        panel.press("installButton")
        assert not panel.ui.installBanner.isVisible()


def test_a_half_installed_torch_does_not_break_the_panel(slicer, machine, monkeypatch):
    def broken(_name):
        raise TypeError("expected str, bytes or os.PathLike object, not NoneType")

    monkeypatch.setattr(module.importlib.metadata, "version", broken)
    with openedPanel(slicer, installer=installerOn(machine)) as panel:
        assert "PyTorch" in panel.ui.installLabel.text


def test_a_missing_pytorch_extension_is_named(machine):
    installer = Installer("requirements.txt", "requirements-sam2.txt", machine.pip)
    with pytest.raises(module.InstallError, match="The extension PyTorch is not installed"):
        installer.install(lambda *_: None)


def test_nothing_is_installed_when_nothing_is_missing(machine):
    machine.installed.update(module.PACKAGES)
    installer = installerOn(machine)
    assert installer.sentence() == ""
    installer.install(lambda *_: None)
    assert machine.calls == []


def test_progress_names_each_step(machine):
    machine.installed.add("torch")
    steps = []
    installerOn(machine).install(lambda *step: steps.append(step))
    assert [step[1:] for step in steps] == [(0, 2), (1, 2)]
    assert steps[1][0] == "Installing SAM 2..."


def test_the_samples_of_the_tutorial_are_slicers_own_with_their_digests(slicer, monkeypatch):
    import sys
    from types import SimpleNamespace

    from SegmentPropagateSlicer.Tutorial import SAMPLES

    registered = []
    logic = SimpleNamespace(registerCustomSampleDataSource=lambda **source: registered.append(source))
    monkeypatch.setitem(sys.modules, "SampleData", SimpleNamespace(SampleDataLogic=logic))
    with openedPanel(slicer):
        slicer.app.fire("startupCompleted()")
    source = registered[-1]
    assert source["nodeNames"] == list(reversed(SAMPLES))  # the views show what is loaded last
    for uri, checksum in zip(source["uris"], source["checksums"], strict=True):
        digest = checksum.removeprefix("SHA256:")
        assert len(digest) == 64
        assert uri.endswith(f"SHA256/{digest}")


@pytest.mark.parametrize(
    ("address", "isNeeded"), [("wss://gpu.example.org", True), ("ssh://anna@gpu.example.org", False)]
)
def test_what_reaches_a_server_is_installed_when_the_server_is_tested(slicer, machine, address, isNeeded):
    machine.installed = {"torch", "sam2", "hydra-core", "iopath"}
    with openedPanel(slicer, installer=installerOn(machine)) as panel:
        ui = panel.ui
        panel.unfold(ui.testServerButton)
        ui.computeOnSelector.setCurrentIndex(1)
        ui.computeOnSelector.activated.emit(1)
        ui.serverAddress.setText(address)
        ui.serverAddress.editingFinished.emit()
        assert ("Press Test first: it installs websockets, which is missing." in panel.sentence()) is isNeeded
        assert machine.calls == []  # nothing is installed by the way
        machine.failure = OSError("no network")
        ui.testServerButton.click()
        assert machine.calls == ([(("-r", "requirements-server.txt"), None)] if isNeeded else [])
        if isNeeded:
            assert (
                panel.sentence() == "websockets could not be installed: no network. Check the network, then try again."
            )


def test_the_version_that_reaches_a_server_is_the_one_that_is_tested():
    root = Path(__file__).resolve().parents[2]
    wanted = (root / "SegmentPropagate" / "Resources" / "requirements-server.txt").read_text(encoding="utf-8")
    known = (root / "constraints.txt").read_text(encoding="utf-8")
    assert f"{wanted.splitlines()[-1]};" in known
