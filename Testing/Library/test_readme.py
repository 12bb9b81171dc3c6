"""What the README and the pages that it was cut from show can be typed, and does what it says."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from SegmentPropagateLib import __version__
from SegmentPropagateLib.cli import demo, main
from SegmentPropagateLib.cli.arguments import make_parser
from SegmentPropagateLib.formats.kinds import OUTPUT_ENDINGS, READABLE
from SegmentPropagateLib.formats.reading import read_labels
from SegmentPropagateLib.models.registry import REGISTRY
from SegmentPropagateLib.reports.metrics import dice

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROGRAM = "segment-propagate"


def commands_of(block):
    """The words behind the program's name, for each of its lines."""
    lines = [shlex.split(line, comments=True) for line in block.splitlines() if line.startswith(PROGRAM)]
    return [words[1:] for words in lines]


MORE = [(ROOT / ".github" / f"{name}.md").read_text(encoding="utf-8") for name in ("DRAFTS", "MODELS", "LIMITS")]
SHELL = [commands_of(block) for text in (TEXT, *MORE) for block in re.findall(r"```sh\n(.*?)```", text, re.S)]
ON_THE_DEMO = next(block for block in SHELL if block and block[0][0] == "propagate")
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.S)


@pytest.fixture(scope="module")
def demo_output(tmp_path_factory):
    """The volume and the outlines that `make demo` draws; its run is tested with the command line."""
    folder = tmp_path_factory.mktemp("readme") / "demo-output"
    with pytest.MonkeyPatch.context() as patch:
        for command in (demo.propagate, demo.evaluate):
            patch.setattr(command, "run", lambda arguments: None)
        assert main(["demo", "--out", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture
def in_demo_output(demo_output, monkeypatch):
    monkeypatch.chdir(demo_output)
    return demo_output


def overlap(result, label=1):
    """DSC with the drawn organ on the slices that the examples name."""
    found, drawn = (read_labels(name).mask(label)[13:26] for name in (result, "outlines.seg.nrrd"))
    return dice(found, drawn)


@pytest.mark.parametrize("words", [words for block in SHELL for words in block], ids=" ".join)
def test_every_command_is_one_that_the_program_takes(words):
    make_parser().parse_args(words)  # raises InputError


def test_the_commands_after_the_demo_work_as_they_stand(in_demo_output, capsys):
    assert len(ON_THE_DEMO) == 5
    assert [main(words) for words in ON_THE_DEMO] == [0, 0, 0, 0, 0], capsys.readouterr().err
    assert "label 1 (kidney)" in capsys.readouterr().out
    assert overlap("kidney.seg.nrrd") > 0.9
    assert overlap("box.nii.gz") > 0.8
    assert sorted(read_labels("all.seg.nrrd").values) == [1, 4]
    assert {"box.png", "box.json"} <= {path.name for path in in_demo_output.iterdir()}


def test_the_commands_about_models_work_as_they_stand(capsys):
    about = [words for block in SHELL for words in block if words[0] in ("models", "inspect")]
    assert len(about) == 2
    assert [main(words) for words in about] == [0, 0]
    assert "starter" in capsys.readouterr().out


def test_the_python_example_works_as_it_stands(in_demo_output, capsys):
    (example,) = [code for code in PYTHON if "import slicer" not in code]  # the other one: Testing/Slicer
    exec(compile(example, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert sorted(int(line.split()[0]) for line in lines) == [k for k in range(13, 26) if k != 18]
    assert overlap("corrected.seg.nrrd") > 0.9


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_lists_every_target_that_the_texts_name_and_one_line_for_each():
    told = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = [line.split(maxsplit=2)[1] for line in told.splitlines()]
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", "\n".join([TEXT, CONTRIBUTING, *MORE]), re.M))
    assert {"demo", "test"} <= named <= set(listed)
    assert len(listed) == len(set(listed))


def test_every_kind_of_file_is_told():
    for kind in READABLE:
        assert kind.name.split()[0] in TEXT, kind.name
    for ending in OUTPUT_ENDINGS:
        assert f"`{ending}`" in TEXT, ending


def test_every_model_and_its_licence_are_told():
    for model in REGISTRY.values():
        told = model.name in TEXT or f"`-{model.name.split('-')[1]}`" in TEXT or "`medsam2-*`" in TEXT
        assert told, model.name
        assert model.licence.split(",")[0] in TEXT


def test_the_version_is_the_same_wherever_it_is_told():
    told = {
        "pyproject.toml": r'^version = "(.+)"$',
        ".github/CITATION.cff": r"^version: (.+)$",
        ".github/CHANGELOG.md": r"^## (\d\S+) - \d{4}-\d\d-\d\d$",  # the newest stands first
    }
    found = {
        name: re.search(form, (ROOT / name).read_text(encoding="utf-8"), re.M).group(1) for name, form in told.items()
    }
    assert found == dict.fromkeys(told, __version__)


def test_the_readme_reads_in_five_minutes():
    assert len(TEXT.splitlines()) <= 235  # all else has a page beside it
