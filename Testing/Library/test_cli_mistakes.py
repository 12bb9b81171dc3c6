"""A mistake at the command line is answered by one sentence and status 2, and leaves no file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_bench import double, here, inputs, out, propagate  # noqa: F401

from SegmentPropagateLib.cli import main

GOOD = {"": "image.nii.gz", "--mask": "labels.nii.gz", "--label": "1", "--key-slice": "5", "--model": "classical"}

BAD = {
    "no command": [],
    "unknown command": ["grow"],
    "unknown option": {"--colour": "red"},
    "no image": {"": None},
    **{
        f"a variable that is not set in {' '.join(words)!r}": words
        for words in (
            [""],
            ["propagate", "", "--mask", "labels.nii.gz", "-o", "result.nrrd"],
            ["propagate", "image.nii.gz", "--box", "3,3,6,6", "--key-slice", "5", "--name", "", "-o", "result.nrrd"],
            ["evaluate", "labels.nii.gz", "labels.nii.gz", "--label="],
            ["inspect", ""],
            ["project", "status", ""],
            ["send", "http://127.0.0.1/", ""],
        )
    },
    "no output": {"-o": None},
    "neither mask nor box": {"--mask": None, "--label": None},
    "mask and box": {"--box": "1,2,3,4"},
    "image does not exist": {"": "nowhere.nii.gz"},
    "point left of the slice": {"--mask": None, "--points": "-5,40,+"},
    "image is empty": {"": "empty.nii.gz"},
    "image is cut off": {"": "cut.nii.gz"},
    "image is text": {"": "text.nrrd"},
    "image of unknown kind": {"": "unknown.xyz"},
    "image is a folder without DICOM": {"": "folder"},
    "image is 2-D": {"": "flat.nii.gz"},
    "image is 4-D": {"": "series4d.nii.gz"},
    "image is in color": {"": "color.nrrd"},
    "image is all NaN": {"": "nan.nrrd"},
    "mask does not exist": {"--mask": "nowhere.nii.gz"},
    "mask is empty file": {"--mask": "empty.nii.gz"},
    "mask without label": {"--mask": "nothing.nii.gz", "--label": None},
    "mask elsewhere in space": {"--mask": "elsewhere.nii.gz"},
    "label that does not exist": {"--label": "2"},
    "label 0": {"--label": "0"},
    "label that is no number": {"--label": "liver"},
    "key slice without the label": {"--label": "3", "--key-slice": "3"},
    "key slice without any label": {"--label": "all", "--key-slice": "0"},
    "one of two key slices without label": {"--key-slice": "5,11"},
    "key slice beyond the volume": {"--key-slice": "12"},
    "key slice negative": {"--key-slice": "-1"},
    "key slice that is no number": {"--key-slice": "middle"},
    "range reversed": {"--range": "9:2"},
    "range beyond the volume": {"--range": "2:12"},
    "range negative": {"--range": "-1:9"},
    "range leaves out the key slice": {"--range": "6:9"},
    "range leaves out the automatic key slice": {"--range": "0:3", "--key-slice": "auto"},
    "range with one number": {"--range": "5"},
    "range without numbers": {"--range": "a:b"},
    "box outside the slice": {"--mask": None, "--label": None, "--box": "2,2,24,10"},
    "box negative": {"--mask": None, "--label": None, "--box": "-2,2,10,10"},
    "box reversed": {"--mask": None, "--label": None, "--box": "10,2,2,10"},
    "box with three numbers": {"--mask": None, "--label": None, "--box": "1,2,3"},
    "box without key slice": {"--mask": None, "--label": None, "--box": "2,4,12,15", "--key-slice": None},
    "box with automatic key slice": {"--mask": None, "--label": None, "--box": "2,4,12,15", "--key-slice": "auto"},
    "box with a name for a number": {"--mask": None, "--label": "liver", "--box": "2,4,12,15"},
    "mask with a name": {"--name": "liver"},
    "points and a box": {"--mask": None, "--label": None, "--box": "2,4,12,15", "--points": "5,5,+"},
    "points outside the slice": {"--mask": None, "--label": None, "--points": "24,5,+"},
    "points all beside the object": {"--mask": None, "--label": None, "--points": "5,5,-"},
    "points without a sign": {"--mask": None, "--label": None, "--points": "5,5"},
    "points without key slice": {"--mask": None, "--label": None, "--points": "5,5,+", "--key-slice": None},
    "two key slices for one box": {"--mask": None, "--label": None, "--box": "2,4,12,15", "--key-slice": "4,5"},
    "box of 400 digits": {"--mask": None, "--label": None, "--box": f"1,2,3,{'9' * 400}"},
    "key slice of 5,000 digits": {"--key-slice": "7" * 5000},
    "label beyond every label": {"--label": str(10**30)},
    "range of 30 digits": {"--range": f"0:{10**30}"},
    "number with underscores": {"--key-slice": "1_0"},
    "short slices without end": {"--short-slices": str(10**30)},
    "unknown plane": {"--plane": "oblique"},
    "unknown preset": {"--intensity": "liver"},
    "unknown device": {"--device": "tpu"},
    "unknown precision": {"--precision": "int4"},
    "unknown model": {"--model": "sam9"},
    "a model whose name no system takes": {"--model": "x" * 5000},
    "an image whose name no system takes": {"": "x" * 5000},
    "a mask whose name no system takes": {"--mask": "x" * 5000},
    "a dataset whose name no system takes": ["finetune", "x" * 5000, "--init", "starter", "-o", "m.pt"],
    "a start whose name no system takes": ["finetune", ".", "--init", "x" * 5000, "-o", "m.pt"],
    "a checkpoint whose name no system takes": ["inspect", "x" * 5000],
    "model file that is no checkpoint": {"--model": "broken.pt"},
    "no short slices": {"--short-slices": "0"},
    "output of unknown kind": {"-o": "result.jpg"},
    "output without ending": {"-o": "result"},
    "output in a missing folder": {"-o": "missing/result.nrrd"},
    "output below a file": {"-o": "notes.txt/result.nrrd"},
    "output is a folder": {"-o": "folder"},
    "output over the image": {"-o": "image.nii.gz"},
    "output over the mask": {"-o": "labels.nii.gz"},
    "overlay of unknown kind": {"--overlay": "picture.bmp"},
    "overlay in a missing folder": {"--overlay": "missing/picture.png"},
    "report of unknown kind": {"--report": "report.txt"},
    "report in a missing folder": {"--report": "missing/report.json"},
}


MEANT = {
    "the image as its labels": (
        {"--mask": "image.nii.gz", "--label": None},
        "for IMAGE and for --mask: give --mask the",
    ),
    "a folder's name": ({"-o": "new.nrrd/"}, "is the name of a folder, give that of a file"),
    "below a file": ({"-o": "notes.txt/result.nrrd"}, "'notes.txt' is a file, choose a folder"),
    "a point on and beside the object": (
        ["propagate", "image.nii.gz", "--points", "5,5,+", "5,5,-", "--key-slice", "5", "-o", "new.nrrd"],
        "The point 5,5 is said to be on the object and beside it",
    ),
}


@pytest.mark.parametrize("name", MEANT)
def test_the_sentence_names_the_mistake(name, out, capsys):
    changes, words = MEANT[name]
    assert main(words_of(changes, out)) == 2
    assert words in capsys.readouterr().err


def words_of(changes, out):
    if isinstance(changes, list):
        return changes
    options = {**GOOD, "-o": out, **changes}
    image = options.pop("")
    words = ["propagate", *([image] if image else [])]
    return [str(word) for word in words + [w for pair in options.items() if pair[1] is not None for w in pair]]


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_answered_by_one_sentence_and_status_2(name, tmp_path, here, capsys):
    before = sorted(here.rglob("*"))
    assert main(words_of(BAD[name], tmp_path / "result.nrrd")) == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("segment-propagate: ")
    assert stderr.endswith(".\n")
    assert len(stderr.splitlines()) == 1, stderr
    assert len(stderr) > 40
    assert list(tmp_path.iterdir()) == []
    assert sorted(here.rglob("*")) == before


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps the folder in which somebody is")
def test_whoever_is_in_a_folder_that_is_gone_is_told_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr("SegmentPropagateLib.cli.models.run", lambda arguments: Path.cwd())
    assert main(["models"]) == 2
    assert "The folder in which you are is not there any more" in capsys.readouterr().err


@pytest.mark.parametrize(("module", "needed"), [("sam2.modeling", "PyTorch and sam2"), ("PIL", "'PIL'")])
def test_a_package_that_is_missing_is_named_and_no_other(module, needed, monkeypatch, capsys):
    def missing(arguments):
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    monkeypatch.setattr("SegmentPropagateLib.cli.models.run", missing)
    assert main(["models"]) == 2
    assert f"This command needs {needed}, and '{module.partition('.')[0]}' is" in capsys.readouterr().err


def test_what_the_system_says_is_told_without_its_number(monkeypatch, capsys):
    def full(arguments):
        raise OSError(28, "No space left on device", "out.json")

    monkeypatch.setattr("SegmentPropagateLib.cli.models.run", full)
    assert main(["models"]) == 1
    assert capsys.readouterr().err == "segment-propagate: The system says: No space left on device ('out.json').\n"


def test_the_good_command_of_the_table_is_good(double, out):
    assert main(words_of({}, out)) == 0
    assert out.exists()


def test_a_missing_label_is_answered_with_those_there_are(out, capsys):
    propagate("image.nii.gz", "--mask", "labels.nii.gz", "--label", 2, "-o", out)
    assert "label 1, label 3" in capsys.readouterr().err


def test_a_key_slice_without_the_label_is_answered_with_where_it_is(out, capsys):
    propagate("image.nii.gz", "--mask", "labels.nii.gz", "--label", 3, "--key-slice", 3, "-o", out)
    assert "axial slices 6 to 10" in capsys.readouterr().err
    propagate("image.nii.gz", "--mask", "labels.nii.gz", "--key-slice", 0, "-o", out)
    assert "has no label to propagate: axial slices " in capsys.readouterr().err


def test_a_command_that_needs_torch_says_so_where_it_is_missing(inputs):
    code = "import sys; sys.modules['torch'] = None; from SegmentPropagateLib.cli import main; sys.exit(main())"
    for words in ["inspect", "broken.pt"], words_of({"--model": "starter"}, inputs / "missing.nrrd"):
        answer = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=inputs)
        assert answer.returncode == 2, answer.stderr
        assert len(answer.stderr.splitlines()) == 1
        assert "PyTorch" in answer.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--seed", str(10**30)),
        ("--image-size", "1000000"),
        ("--epochs", "9" * 400),
        ("--steps", "0"),
        ("--rate", "nan"),
    ],
)
def test_a_number_that_no_run_can_have_is_refused_before_any_work(option, value, here, capsys):
    words = ["finetune", "pairs", "--init", "starter", "-o", "model.pt", option, value]
    (here / "pairs").mkdir(exist_ok=True)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert len(said) < 300
    assert not (here / "model.pt").exists()


def test_an_option_that_is_none_is_answered_with_the_help_of_its_command(here, capsys):
    assert main(["evaluate", "labels.nii.gz", "labels.nii.gz", "--colour", "red"]) == 2
    assert "--colour red; see segment-propagate evaluate --help." in capsys.readouterr().err


def test_a_file_whose_name_begins_with_a_dash_is_told_how_to_be_written(here, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("-ct.nii.gz").write_bytes((here / "image.nii.gz").read_bytes())
    words = ["--mask", here / "labels.nii.gz", "--label", 1, "--model", "classical", "-o", "result.nrrd"]
    assert propagate("-ct.nii.gz", *words) == 2
    assert "write ./-ct.nii.gz." in capsys.readouterr().err
    assert propagate("./-ct.nii.gz", *words) == 0
