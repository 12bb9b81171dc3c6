"""3D Slicer module: propagate one outlined slice through a volume, correct it, accept it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

if TYPE_CHECKING:
    from slicer import qSlicerScriptedLoadableModule

# Run from a source checkout; an installed extension has the library beside this file.
_checkout = Path(__file__).resolve().parents[1]
if (_checkout / "SegmentPropagateLib").is_dir() and str(_checkout) not in sys.path:
    sys.path.append(str(_checkout))

from SegmentPropagateSlicer.Effect.Registration import registerEffect  # noqa: E402
from SegmentPropagateSlicer.Logic import SegmentPropagateLogic  # noqa: E402, F401  Slicer looks for it here
from SegmentPropagateSlicer.Panel.Widget import SegmentPropagateWidget  # noqa: E402, F401
from SegmentPropagateSlicer.SelfTest import SegmentPropagateTest  # noqa: E402, F401


class SegmentPropagate(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent: qSlicerScriptedLoadableModule) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Segment Propagate")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["SegmentEditor", "Segmentations", "Markups", "Volumes"]
        parent.contributors = ["SegmentPropagate contributors"]
        parent.helpText = helpText()
        parent.acknowledgementText = acknowledgementText()
        for register in (registerSampleData, registerEffect):
            slicer.app.connect("startupCompleted()", register)


def helpText() -> str:
    """Shown under Help & Acknowledgement."""
    return _(
        "<p>Outline an object on one slice, give the first and the last slice, press <b>Propagate</b>, review, and "
        "accept. A slice that went wrong is edited and becomes another key; only the stretch that it changes is "
        "computed again.</p>"
        "<p>What is painted or erased on a proposal, in any view, is a correction, and so is a click with "
        "<b>Points</b>: what it changes is computed again when the stroke ends.</p>"
        "<p>The effect <b>Propagate</b> of the Segment Editor does the same, in every module that has one.</p>"
        "<p>Keys while the module is open and the mouse is over a slice view or the panel: K key from current slice, "
        "S first slice, L last slice, P propagate or cancel, U lock or unlock, N next suspicious slice, E edit slice, "
        "C correct, A accept, D discard, O next object (what waits is accepted), X next case, H previous case.</p>"
        "<p>Under <b>Cases</b> a folder or a list of images is worked through: <b>Next case</b> accepts, saves and "
        "opens the next image with the same template of segments, model and prompt.</p>"
    )


def acknowledgementText() -> str:
    """The papers that the models come from."""
    return _(
        "<p>SLM-SAM 2: Y. Chen et al., Accelerating Volumetric Medical Image Annotation via Short-Long Memory SAM 2, "
        "2025. SAM 2: N. Ravi et al., SAM 2: Segment Anything in Images and Videos, 2024. "
        "MedSAM2: J. Ma et al., MedSAM2: Segment Anything in 3D Medical Images and Videos, 2025.</p>"
        "<p>None of their code is contained; plain SAM 2 modules are installed from the Python package index.</p>"
    )


SAMPLE_FILES = {
    "MRBrainTumor2": ("RegLib_C01_2.nrrd", "1a64f3f422eb3d1c9b093d1a18da354b13bcf307907c66317e2463ee530b7a97"),
    "MRBrainTumor1": ("RegLib_C01_1.nrrd", "998cb522173839c78657f4bc0ea907cea09fd04e44601f17c82ea27927937b95"),
}
"""Node name -> file, SHA-256. The views show what is loaded last."""


def registerSampleData() -> None:
    """Offer the tutorial's volumes, two of Slicer's own samples, in one click under the module's name."""
    try:
        import SampleData
    except ImportError:  # Slicer built without it
        return
    digests = [digest for _file, digest in SAMPLE_FILES.values()]
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="SegmentPropagate",
        sampleName="SegmentPropagateTutorial",
        uris=[f"https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/{digest}" for digest in digests],
        fileNames=[file for file, _digest in SAMPLE_FILES.values()],
        checksums=[f"SHA256:{digest}" for digest in digests],
        nodeNames=list(SAMPLE_FILES),
    )
