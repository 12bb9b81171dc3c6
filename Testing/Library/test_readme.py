"""What the README shows can be typed."""

import re
import shlex
from pathlib import Path

from SegmentPropagateLib.cli.arguments import make_parser
from SegmentPropagateLib.formats.kinds import OUTPUT_ENDINGS, READABLE
from SegmentPropagateLib.models.registry import REGISTRY

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S) for line in block.splitlines()]


def test_every_command_is_one_that_the_program_takes():
    commands = [shlex.split(line, comments=True) for line in SHELL if line.startswith("segment-propagate")]
    assert len(commands) >= 5
    for words in commands:
        make_parser().parse_args(words[1:])  # raises InputError


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(
        re.findall(
            r"(?:^|`)make ([a-z-]+)", TEXT + (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M
        )
    )
    assert {"demo", "test"} <= targets
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


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
