"""The experiment on rounds, on two small volumes in place of the real ones."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.volume import Volume

EXPERIMENTS = Path(__file__).resolve().parents[1] / "Experiments"
GEOMETRY = Geometry((12, 40, 40), np.diag([-2.0, -2.0, 3.0, 1.0]))


def write_case(folder, shift):
    k, j, i = np.indices(GEOMETRY.shape_kji)
    masks = {1: ((k - 6) / 4) ** 2 + ((j - 14) / 8) ** 2 + ((i - 14 - shift) / 8) ** 2 <= 1}
    masks[2] = np.roll(masks[1], (16, 16), (1, 2))
    folder.mkdir()
    values = 40 + 160 * masks[1] + 80 * masks[2] + np.random.default_rng(shift).normal(0, 4, GEOMETRY.shape_kji)
    write_volume(folder / "image.nii.gz", Volume(values.astype(np.int16), GEOMETRY))
    write_segmentation(folder / "labels.nii.gz", masks, GEOMETRY)


@pytest.mark.slow
def test_real_volumes_that_share_an_organ_are_left_out_in_turn(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    import rounds

    monkeypatch.setattr(sys, "path", list(sys.path))
    targets = []
    for number, case in enumerate(("ct_one", "ct_two")):
        write_case(tmp_path / case, number)
        targets += [{"case": case, "label": 1, "name": "liver"}, {"case": case, "label": 2, "name": "lesion"}]
    (tmp_path / "TARGETS.json").write_text(json.dumps({"targets": targets}))
    words = ["--real", str(tmp_path), "--work", str(tmp_path / "work")]
    rounds.main(words)
    found = json.loads((tmp_path / "work" / "real.json").read_text())
    told = [(row["turn"], row["round"], row["body"]) for row in found["rows"]]
    assert told == [
        *((0, 1, "real-ct/ct_one"), (0, 2, "real-ct/ct_two")),
        *((1, 1, "real-ct/ct_two"), (1, 2, "real-ct/ct_one")),
    ]
    assert "round 2 - round 1" in found["real"]
    before = (tmp_path / "work" / "real.json").read_bytes()
    rounds.main(words)  # nothing is left to do
    assert (tmp_path / "work" / "real.json").read_bytes() == before
