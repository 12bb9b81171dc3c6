"""From a folder or a list to cases with their prompts."""

import json
import re
import shlex

import pytest
from batch_bench import ROOT, draw_case

from SegmentPropagateLib.batch.jobs import find_jobs
from SegmentPropagateLib.batch.records import OUTPUTS
from SegmentPropagateLib.cli.arguments import make_parser
from SegmentPropagateLib.errors import InputError

PAGE = (ROOT / ".github" / "BATCH.md").read_text(encoding="utf-8")


def listed(folder, text, name="list.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return find_jobs(folder / name)


def test_a_folder_has_a_case_for_each_image_with_labels(tmp_path):
    for name in ("b", "a"):
        draw_case(tmp_path / name)
    jobs = find_jobs(tmp_path)
    assert [job.name for job in jobs] == ["a", "b"]
    assert jobs[0].inputs == {"image": str(tmp_path / "a/image.nii.gz"), "mask": str(tmp_path / "a/labels.nii.gz")}
    assert jobs[0].options == {}


def test_a_list_may_tell_key_slices_and_the_range_of_each_case(tmp_path):
    text = "name;image;label;key_slice;first;last\nx;x.nii;x_seg.nii;3,5;2;9.0\ny;y.nii;y_seg.nii;;;\n"
    x, y = listed(tmp_path, text)
    assert x.options == {"key_slice": [3, 5], "range": [2, 9]}
    assert y.options == {}
    assert x.inputs["image"] == str(tmp_path / "x.nii")  # which need not be there: that is for the case to tell


@pytest.mark.parametrize("key", ['"auto"', "[]", '""', "null"])
def test_a_key_slice_that_is_to_be_found_need_not_be_told(tmp_path, key):
    (job,) = listed(tmp_path, f'[{{"image": "a.nii", "label": "b.nii", "key_slice": {key}}}]', "list.json")
    assert job.options == {}


@pytest.mark.parametrize("form", ["csv", "json"])
def test_rows_with_boxes_make_one_case_of_each_image(tmp_path, form):
    rows = [
        {"image": "b.nii", "box": "1,2,3,4", "key_slice": 5, "object": "liver"},
        {"image": "a.nii", "box": "1 2 3 4", "key_slice": 1, "object": ""},
        {"image": "b.nii", "box": "5,6,7,8", "key_slice": 6, "object": ""},
    ]
    if form == "json":
        rows[0]["box"] = [1, 2, 3, 4]
        a, b = listed(tmp_path, json.dumps(rows), "list.json")
    else:
        lines = [";".join(rows[0]), *(";".join(map(str, row.values())) for row in rows)]
        a, b = listed(tmp_path, "\n".join(lines))
    assert (a.name, a.inputs) == ("a", {"image": str(tmp_path / "a.nii")})
    assert a.options == {"box": [[1, 2, 3, 4]], "key_slice": [1], "name": ["Label 1"]}
    assert b.options == {"box": [[1, 2, 3, 4], [5, 6, 7, 8]], "key_slice": [5, 6], "name": ["liver", "Label 2"]}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("image,label\n", "lists no case"),
        ("image,label\na.nii,\n", "Entry 1"),
        ("image,label\n,a.nii\n", "Entry 1"),
        ("image,label,key_slice\na.nii,b.nii,top\n", "'top' as key_slice"),
        ("image,label,first\na.nii,b.nii,2\n", "as last"),
        ("image;box;key_slice\na.nii;1,2,3;4\n", "'1,2,3' as box"),
        ("image;box;key_slice\na.nii;1,2,3,4;\n", "as key_slice"),
        ("image;box;key_slice\na.nii;1,2,3,4;5\nb.nii;;\n", "Entry 2"),
        ("name;image;box;key_slice\nx;a.nii;1,2,3,4;5\nx;b.nii;1,2,3,4;5\n", "Entry 2"),
        ("image;box;key_slice;first;last\na.nii;1,2,3,4;5;1;9\na.nii;1,2,3,4;5;1;8\n", "Entry 2"),
        ("name,image,label\nx,a.nii,b.nii\nX,c.nii,d.nii\n", "cases named 'x' and 'X'"),
        ("name,image,label\n..,a.nii,b.nii\n", "'..'"),
        ("name,image,label\n../x,a.nii,b.nii\n", "'../x'"),
        ("name,image,label\nx,a\0.nii,b.nii\n", "no name of a file"),
        ("name,image,label\nTable.csv,a.nii,b.nii\n", "'Table.csv'"),
        ("name,image,label\n.batch.lock,a.nii,b.nii\n", "'.batch.lock'"),
    ],
)
def test_a_list_that_cannot_be_understood_is_refused_in_one_sentence(tmp_path, text, part):
    with pytest.raises(InputError) as caught:
        listed(tmp_path, text)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", [line for line in PAGE.splitlines() if line.startswith("segment-propagate")])
def test_every_command_of_the_page_on_batches_is_one_that_the_program_takes(line):
    make_parser().parse_args(shlex.split(line, comments=True)[1:])  # raises InputError


def test_the_lists_of_the_page_on_batches_are_understood(tmp_path):
    labelled, boxed = re.findall(r"```\n((?:name,)?image,.*?)```", PAGE, re.S)
    assert [job.options for job in listed(tmp_path, labelled)] == [{}, {"key_slice": [41], "range": [30, 55]}]
    (job,) = listed(tmp_path, boxed)
    assert job.options["name"] == ["kidney", "liver"]
    assert all(file in PAGE for file in OUTPUTS.values())
