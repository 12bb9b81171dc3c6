"""What the README says about scripts is so."""

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def test_the_scripting_example_runs_as_it_stands(slicer, capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.S) if "import slicer" in code]
    k, j, i = np.indices((27, 64, 64))
    kidney = ((k - 13) / 10) ** 2 + ((j - 32) / 18) ** 2 + ((i - 30) / 14) ** 2 <= 1
    volume = slicer.util.addVolumeFromArray(kidney.astype(np.int16) * 100, ijkToRAS=np.diag([1.0, 1, 3, 1]), name="CT")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentId = segmentation.GetSegmentation().AddEmptySegment("", "Kidney")
    outline = np.zeros(kidney.shape, np.uint8)
    outline[14] = kidney[14]
    slicer.util.updateSegmentBinaryLabelmapFromArray(outline, segmentation, segmentId, volume)
    exec(compile(example, "README.md", "exec"), {})
    assert re.fullmatch(r"\d+ voxels changed\n", capsys.readouterr().out)
    found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentId, volume) > 0
    assert np.array_equal(found[14], kidney[14])
    assert not found[[0, 1, 2, 3, 23, 24, 25, 26]].any()
    assert 2 * (found & kidney)[4:23].sum() / (found[4:23].sum() + kidney[4:23].sum()) > 0.95
