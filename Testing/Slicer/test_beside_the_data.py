"""Slicer may have been started in a patient's folder: what lies there is not run."""

import os
import stat
import subprocess
import sys

import pytest
from SegmentPropagateSlicer.Panel import Devices as devices
from SegmentPropagateSlicer.Panel import Installer as installers

INTRUDER = "import pathlib; pathlib.Path(__file__).with_name('ran').touch()\n"


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """The current folder, with a module in it that is called as one of Python's own."""
    (tmp_path / "this.py").write_text(INTRUDER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def program(folder, name="nvidia-smi"):
    """An executable file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Slicer 5.10 and later have Python 3.12")
def test_pip_imports_nothing_from_the_current_folder(beside, monkeypatch):
    def runModule(_arguments):  # as slicer.util.pip_install runs pip
        subprocess.run([sys.executable, "-m", "this"], check=True, stdout=subprocess.DEVNULL)

    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setattr(installers, "isInstalled", lambda name: name == "torch")
    installer = installers.Installer("requirements.txt", "requirements-sam2.txt", runModule)
    with pytest.raises(installers.InstallError):  # nothing came of it, of course
        installer.install(lambda *_step: None)
    assert not (beside / "ran").exists()
    assert "PYTHONSAFEPATH" not in os.environ


@pytest.mark.parametrize("entry", ["", ".", "data"])
def test_a_program_is_not_taken_from_the_current_folder(tmp_path, monkeypatch, entry):
    monkeypatch.setattr(devices.sys, "platform", "linux")
    monkeypatch.chdir(tmp_path)
    program(tmp_path / entry)
    monkeypatch.setenv("PATH", os.pathsep.join([entry, str(tmp_path / "empty")]))
    assert devices.findNvidiaSmi() is None
    real = program(tmp_path / "bin")
    monkeypatch.setenv("PATH", os.pathsep.join([entry, str(tmp_path / "bin")]))
    assert devices.findNvidiaSmi() == str(real)


def test_on_windows_the_program_has_its_ending_there(tmp_path, monkeypatch):
    monkeypatch.setattr(devices.sys, "platform", "win32")
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path)
    assert devices.findNvidiaSmi() is None
    real = program(tmp_path, "nvidia-smi.exe")
    assert devices.findNvidiaSmi() == str(real)
