"""What the README shows can be typed."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from SegmentPropagateLib.cli.arguments import make_parser
from SegmentPropagateLib.formats.kinds import OUTPUT_ENDINGS, READABLE
from SegmentPropagateLib.models.registry import REGISTRY

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S) for line in block.splitlines()]


def test_every_command_is_one_that_the_program_takes():
    commands = [shlex.split(line, comments=True) for line in SHELL if line.startswith("segment-propagate")]
    assert len(commands) >= 5
    for words in commands:
        make_parser().parse_args(words[1:])  # raises InputError


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_lists_every_target_that_the_texts_name_and_one_line_for_each():
    told = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = [line.split(maxsplit=2)[1] for line in told.splitlines()]
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", TEXT + CONTRIBUTING, re.M))
    assert {"demo", "test"} <= named <= set(listed)
    assert len(listed) == len(set(listed))


def test_every_linked_file_exists():
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", TEXT):
        assert (ROOT / link).exists(), link


def test_the_python_examples_are_python():
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")


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
