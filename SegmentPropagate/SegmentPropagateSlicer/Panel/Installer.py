"""Brings PyTorch, SAM 2 and what reaches a server into Slicer's Python: when asked to, and on the main thread."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

if TYPE_CHECKING:
    from PyTorchUtils import PyTorchUtilsLogic

CLIENT_PACKAGE = "websockets"
PACKAGES = ("torch", "sam2", "hydra-core", "iopath")
TORCH_REQUIREMENT = ">=2.5.1" if sys.platform != "win32" else ">=2.5.1,<2.13"  # 2.13 has paths too long for Windows

PIP_FAILURES = (subprocess.CalledProcessError, OSError, RuntimeError, ValueError, ImportError)
"""What Slicer's pip_install and the PyTorch extension raise: pip's status, no network or space, an odd version."""


class InstallError(Exception):
    """The message is one sentence for the user."""


class Installer:
    """Knows what the networks need, says what is missing, and installs it.

    Args:
        requirements: path of requirements.txt, what sam2 needs beside torch; what reaches a server lies beside it, in
            requirements-server.txt.
        sam2Requirements: path of requirements-sam2.txt, sam2 itself with its digest.
        pipInstall: `slicer.util.pip_install`, or what stands in for it.
        torchUtils: `PyTorchUtils.PyTorchUtilsLogic()` of the PyTorch extension; None looks for it.
    """

    def __init__(
        self,
        requirements: Path,
        sam2Requirements: Path,
        pipInstall: Callable[[list[str]], object] | None = None,
        torchUtils: PyTorchUtilsLogic | None = None,
    ) -> None:
        self.requirements, self.sam2Requirements = str(requirements), str(sam2Requirements)
        self.serverRequirements = str(Path(requirements).with_name("requirements-server.txt"))
        self._pipInstall = pipInstall or slicer.util.pip_install
        self._torchUtils = torchUtils

    def missing(self) -> list[str]:
        """Names of the packages that are not installed; a half-installed one counts as missing. Imports nothing."""
        return [name for name in PACKAGES if not isInstalled(name)]

    def sentence(self) -> str:
        """What is missing, how large it is and what works without; empty when nothing is missing."""
        return sentenceAbout(self.missing())

    def steps(self) -> list[tuple[str, Callable[[], None]]]:
        """`(what to tell the user, function)` for everything that is missing."""
        missing = self.missing()
        steps: list[tuple[str, Callable[[], None]]] = []
        if "torch" in missing:
            steps.append((_("Installing PyTorch. This can take several minutes..."), self._installTorch))
        if missing:
            steps.append((_("Installing the packages that SAM 2 needs..."), self._installRequirements))
            steps.append((_("Installing SAM 2..."), self._installSam2))
        return steps

    def install(self, progress: Callable[[str, int, int], object]) -> None:
        """Install what is missing; safe to call again after a failure.

        Args:
            progress: called as `progress(sentence, stepsDone, stepsTotal)`.

        Raises:
            InstallError: one sentence on what failed.
        """
        steps = self.steps()
        # `python -m pip` would import what lies in the folder that Slicer was started in, which may be a patient's.
        with environment(PYTHONSAFEPATH="1"):
            for done, (sentence, step) in enumerate(steps):
                progress(sentence, done, len(steps))
                step()
        still = self.missing()
        if still:
            raise InstallError(
                _("{names} could not be installed; restart Slicer and press Install again.").format(
                    names=", ".join(still)
                )
            )

    def reachesServers(self) -> bool:
        """Whether what reaches a server over the web is installed."""
        return isInstalled(CLIENT_PACKAGE)

    def installClient(self) -> None:
        """Install what reaches a server, small and of a version that is tested.

        Raises:
            InstallError: one sentence on what failed.
        """
        with environment(PYTHONSAFEPATH="1"):
            self._pip(["-r", self.serverRequirements], CLIENT_PACKAGE)

    def _installTorch(self) -> None:
        utils = self._torchUtils or findTorchUtils()
        try:
            installed = utils.installTorch(askConfirmation=False, torchVersionRequirement=TORCH_REQUIREMENT)
        except PIP_FAILURES as error:
            raise InstallError(
                _(
                    "PyTorch could not be installed: {error} Check the network and the disk space, then try again."
                ).format(error=lastLine(error))
            ) from error
        if installed is None:
            raise InstallError(_("PyTorch was not installed; open the module PyTorch Utils to see why."))

    def _installRequirements(self) -> None:
        self._pip(["-r", self.requirements])

    def _installSam2(self) -> None:
        # sam2 is a source package: its isolated build would download a second PyTorch of several GB, and compiling
        # its optional CUDA code fails on most machines.
        with environment(SAM2_BUILD_CUDA="0"):
            self._pip(["--no-deps", "--no-build-isolation", "-r", self.sam2Requirements])

    def _pip(self, arguments: list[str], what: str = "SAM 2") -> None:
        try:
            self._pipInstall(arguments)
        except PIP_FAILURES as error:
            raise InstallError(
                _("{name} could not be installed: {error} Check the network, then try again.").format(
                    name=what, error=lastLine(error)
                )
            ) from error


def sentenceAbout(missing: Sequence[str]) -> str:
    """What it means that these packages are missing; empty when there are none."""
    if "torch" in missing:
        return _(
            "The networks need PyTorch and SAM 2, which are not installed: a download of about 0.2 GB for the CPU, "
            "up to 3 GB for an NVIDIA graphics card. The classical propagator works without them."
        )
    if missing:
        return _(
            "The networks need SAM 2, which is not installed: a download of about 1 MB. "
            "The classical propagator works without it."
        )
    return ""


def isInstalled(name: str) -> bool:
    """Whether a package is installed completely enough to have its metadata."""
    try:
        return bool(importlib.metadata.version(name))
    except (importlib.metadata.PackageNotFoundError, TypeError):  # TypeError: metadata without a version
        return False


def findTorchUtils() -> PyTorchUtilsLogic:
    """The logic of the PyTorch extension.

    Raises:
        InstallError: the extension is not installed.
    """
    try:
        import PyTorchUtils
    except ImportError as error:
        raise InstallError(
            _("The extension PyTorch is not installed: install it in the Extensions Manager and restart Slicer.")
        ) from error
    return PyTorchUtils.PyTorchUtilsLogic()


def lastLine(error: Exception) -> str:
    """The last line of an exception's text as a sentence: tools put the reason there."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip().rstrip(".") + "."


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables for the time of the `with` block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
