"""A picture of a result in slice and 3-D views: drawn and propagated here, rendered by `render_views.py`.

    python screenshot_views.py --views-python .venv-views/bin/python PICTURE.png

The two halves need different versions of slicer-core, so each has an environment of its own; files pass between them.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from SegmentPropagateLib import MaskPrompt, Session, load_model
from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.phantoms.phantom import make_phantom
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.volume import Volume

SEED, SHAPE_KJI = 6, (48, 160, 160)
ORGANS = (
    SegmentInfo(1, "Kidney", (0.90, 0.36, 0.31)),
    SegmentInfo(4, "Liver", (0.20, 0.68, 0.60)),
    SegmentInfo(5, "Vessels", (0.36, 0.56, 0.93)),
)  # numbered as the phantom does


def propagate(session, reference):
    """One organ from its largest slice to where it begins and ends, as bool `(k, j, i)`."""
    areas = reference.sum(axis=(1, 2))
    there, key = np.flatnonzero(areas), int(areas.argmax())
    session.add_key(1, key, MaskPrompt(reference[key]))
    for _update in session.propagate(int(there[0]), int(there[-1])):
        pass
    found = session.mask(1)
    dice = 2 * np.count_nonzero(found & reference) / (np.count_nonzero(found) + np.count_nonzero(reference))
    return found, key, dice


def main():
    """Draw, propagate, hand over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--views-python", required=True, help="Python with the packages of requirements-views.txt")
    arguments = parser.parse_args()
    phantom = make_phantom(SEED, "organs", SHAPE_KJI)
    k, j, i = phantom.spacing_kji_mm
    volume = Volume(phantom.values, Geometry(SHAPE_KJI, np.diag([-i, -j, k, 1.0])))
    model, masks = load_model("starter"), {}
    for organ in ORGANS:
        session = Session(model, volume, plane="axial", intensity="auto")
        masks[organ.value], key, dice = propagate(session, phantom.labels == organ.value)
        print(f"{organ.name} from slice {key}: DSC {dice:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        image, segmentation = Path(folder) / "Volume.nrrd", Path(folder) / "Segmentation.seg.nrrd"
        write_volume(image, volume)
        write_segmentation(segmentation, masks, volume.geometry, ORGANS)
        render = [arguments.views_python, str(Path(__file__).with_name("render_views.py"))]
        subprocess.run([*render, str(image), str(segmentation), str(arguments.picture)], check=True)


if __name__ == "__main__":
    main()
