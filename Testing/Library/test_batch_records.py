"""What makes a case done, what is computed again, and the tables that are made of the records."""

import csv
import json
import os
import re

import numpy as np
import pytest
from cli_bench import BALL, save
from doubles import drawn_volume
from PIL import Image

from SegmentPropagateLib.batch.case import Computed, do_case, is_current
from SegmentPropagateLib.batch.jobs import Job
from SegmentPropagateLib.batch.records import prints_of, read_record, write_failure
from SegmentPropagateLib.batch.tables import write_tables
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.writing import write_segmentation

HOSTILE = "<img src=x onerror=alert(1)>\"&'=1+1"


class Bench:
    """A case whose computing is counted; `name` is its object's."""

    def __init__(self, folder, name="ball"):
        self.folder, self.out, self.name, self.runs = folder, folder / "out", name, 0
        self.job = Job("case", {"image": str(folder / "image.mhd"), "mask": str(folder / "labels")}, {"key_slice": [5]})
        save(folder / "image.mhd", BALL.astype(np.int16))
        (folder / "labels").mkdir()
        (folder / "labels" / "1.dcm").write_bytes(b"a slice")
        self.out.mkdir()

    def compute(self, job, folder):
        slices = [
            {"slice": k, "source": source, "predicted_iou": iou, "area": 9, "worth_a_look": source == "propagated"}
            for k, source, iou in ((5, "key", 1.0), (6, "propagated", 0.5), (7, "propagated", 0.7))
        ]
        thing = {"label": 1, "name": self.name, "key_slices": [5], "volume_ml": 2.0, "slices": slices}

        def write():
            volume, mask = drawn_volume()
            write_segmentation(folder / "segmentation.seg.nrrd", {1: mask}, volume.geometry)
            Image.new("RGB", (900, 1200)).save(folder / "overlay.png")
            (folder / "report.json").write_text("{}")

        self.runs += 1
        return Computed({"objects": [thing]}, ["a note"], write)

    def do(self, settled="settings", **changes):
        job = Job(**{"name": "case", "inputs": self.job.inputs, "options": self.job.options, **changes})
        do_case(job, self.out, settled, self.compute)
        assert is_current(job, self.out, settled)
        return self.runs

    @property
    def record(self):
        return read_record(self.out / "case")

    @property
    def segmentation(self):
        return self.out / "case" / "segmentation.seg.nrrd"


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    bench.do()
    return bench


def touch(bench):
    for path in bench.folder.rglob("*"):
        os.utime(path, (1, 1))


def move(bench):
    (bench.folder / "labels").rename(bench.folder / "elsewhere")
    bench.job.inputs["mask"] = str(bench.folder / "elsewhere")


def change_raw_voxels(bench):
    (raw,) = (path for path in bench.folder.glob("image.*") if path.suffix != ".mhd")
    raw.write_bytes(raw.read_bytes()[:-1] + b"\1")


def edit(bench):
    bench.segmentation.write_bytes(b"what an annotator made of it")


def spoil(bench, **parts):
    path = bench.out / "case" / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **parts}))
    write_tables(bench.out)


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        (lambda bench: None, 1),
        (touch, 1),
        (move, 1),
        (edit, 1),
        (change_raw_voxels, 2),
        (lambda bench: (bench.folder / "labels" / "1.dcm").write_bytes(b"another"), 2),
        (lambda bench: (bench.folder / "labels" / "2.dcm").write_bytes(b"one more"), 2),
        (lambda bench: bench.job.options.update(key_slice=[6]), 2),
        (lambda bench: (bench.out / "case" / "overlay.png").unlink(), 2),
        (lambda bench: (bench.out / "case" / "record.json").unlink(), 2),
        (lambda bench: (bench.out / "case" / "record.json").write_text("{"), 2),
        (lambda bench: (bench.out / "case" / "record.json").write_text('{"status": "done"}'), 2),
        (lambda bench: (bench.out / "case" / "record.json").write_text("[" * 99999), 2),
        (lambda bench: spoil(bench, outputs={"segmentation": "segmentation.seg.nrrd"}), 2),
        (lambda bench: spoil(bench, outputs={}), 2),
        (lambda bench: spoil(bench, inputs={"image": "image.mhd"}), 2),
        (lambda bench: spoil(bench, figures=[{"label": "one"}]), 2),
        (lambda bench: spoil(bench, seconds={}), 2),
        (lambda bench: spoil(bench, earlier_outputs=[1]), 2),
    ],
)
def test_a_case_is_done_again_only_if_what_it_is_made_from_has_changed(bench, change, runs):
    change(bench)
    assert bench.do() == runs
    assert bench.do() == runs


@pytest.mark.parametrize(("header", "voxels"), [("a.hdr", "a.img"), ("a.hdr", "a.img.gz"), ("a.HDR.gz", "a.IMG.gz")])
def test_voxels_beside_an_analyze_header_belong_to_the_case(tmp_path, header, voxels):
    for name in (header, voxels):
        (tmp_path / name).write_bytes(b"first")
    for given in (header, voxels):
        job = Job("case", {"image": str(tmp_path / given)})
        before = prints_of(job, None, read=True)
        (tmp_path / (header if given == voxels else voxels)).write_bytes(b"other" + given.encode())
        assert prints_of(job, None, read=True)["image"]["sha256"] != before["image"]["sha256"]


def test_other_settings_or_another_model_do_all_cases_again(bench):
    assert bench.do("other settings") == 2
    assert bench.do() == 3


def test_a_touched_file_is_read_but_nothing_is_computed(bench):
    touch(bench)
    assert not is_current(bench.job, bench.out, "settings")
    assert bench.do() == 1


def test_a_segmentation_that_somebody_has_edited_is_never_lost(bench):
    for number in (1, 2):
        edit(bench)
        bench.do(f"settings {number}")
        kept = bench.out / "case" / f"edited-{number}.seg.nrrd"
        assert kept.read_bytes() == b"what an annotator made of it"
        assert kept.name in bench.record["notes"][-1]
    bench.do()
    assert len(list((bench.out / "case").glob("edited*"))) == 2


def test_a_case_that_comes_to_nothing_leaves_its_former_files_and_no_copies_later(bench):
    write_failure(bench.out / "case", {"status": "lost", "sentence": "It died."})
    assert (bench.record["status"], bench.record["sentence"], bench.record["outputs"]) == ("lost", "It died.", {})
    assert bench.segmentation.is_file()
    assert bench.do() == 2
    assert not list((bench.out / "case").glob("edited*"))


def test_a_record_tells_figures_notes_and_digests(bench):
    record = bench.record
    (thing,) = record["figures"]
    assert (thing["predicted_iou"], thing["worth_a_look"], thing["first"], thing["last"]) == (0.6, 2, 5, 7)
    assert record["notes"] == ["a note"]
    assert set(record["outputs"]) == {"segmentation", "overlay", "report", "thumbnail"}
    assert all(re.fullmatch("[0-9a-f]{64}", part["sha256"]) for part in record["inputs"].values())


def test_a_missing_file_is_told_in_one_sentence(bench):
    (bench.folder / "image.mhd").unlink()
    assert not is_current(bench.job, bench.out, "settings")
    with pytest.raises(InputError, match=r"image\.mhd' cannot be read: No such file"):
        bench.do()


def test_tables_are_made_of_whatever_records_are_there(bench):
    write_failure(bench.out / "worse", {"status": "failed", "sentence": "=HYPERLINK(1)"})
    outside = {**bench.record, "outputs": {**bench.record["outputs"], "overlay": {"file": "../x", "sha256": ""}}}
    nameless = {**outside, "outputs": {**bench.record["outputs"], "thumbnail": {"file": "\ud800", "sha256": ""}}}
    thing = {name: value for name, value in bench.record["figures"][0].items() if name != "predicted_iou"}
    for name, text in {
        "odd": "[]",
        "nameless": json.dumps(nameless),
        "unmeasured": json.dumps({**bench.record, "figures": [thing]}),
        "outside": json.dumps(outside),
        "broken": "{",
        "thin": json.dumps({"status": "done"}),
    }.items():
        (bench.out / name).mkdir()
        (bench.out / name / "record.json").write_text(text)
    write_tables(bench.out)
    with (bench.out / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["status"], row["predicted_iou"]) for row in rows] == [
        ("case", "done", "0.6"),
        ("worse", "failed", ""),
    ]
    assert rows[1]["sentence"] == "'=HYPERLINK(1)"


def test_names_are_only_text_on_the_page_and_in_the_table(tmp_path):
    bench = Bench(tmp_path, name=HOSTILE)
    name = 'a#b<b>&"c'
    bench.do(name=name)
    write_failure(bench.out / "worse", {"status": "failed", "sentence": HOSTILE})
    write_tables(bench.out)
    page = (bench.out / "index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "<b>" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;&quot;&amp;&#x27;=1+1" in page
    assert 'src="a%23b%3Cb%3E%26%22c/thumbnail.jpg"' in page
    assert "http:" not in page.replace("http-equiv", "")
    assert "https:" not in page


def test_the_page_begins_with_what_to_look_at_first(bench):
    bench.do(name="sure")
    record = read_record(bench.out / "sure")
    record["figures"][0].update(worth_a_look=1, predicted_iou=0.9)
    (bench.out / "sure" / "record.json").write_text(json.dumps(record))
    write_tables(bench.out)
    page = (bench.out / "index.html").read_text(encoding="utf-8")
    first, rest = page.split("All results")
    assert "2 slices worth a look" in first
    assert first.index("case/thumbnail.jpg") < first.index("sure/thumbnail.jpg")
    assert rest.index("case/thumbnail.jpg") < rest.index("sure/thumbnail.jpg")
    with Image.open(bench.out / "case" / "thumbnail.jpg") as picture:
        assert picture.size == (480, 480)
