"""What the README and the pages beside it say is there, and two commands of one page do not write the same file."""

import ast
import re
import shlex
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / ".github").glob("*.md"), *(ROOT / "Testing").rglob("*.md")])
OUTPUTS = {"-o", "--overlay", "--report"}
TUTORIAL = ROOT / ".github" / "TUTORIAL.md"


def named(pages):
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page):
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@named(PAGES)
def test_every_link_and_picture_of_a_page_is_there(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        if link.startswith(("https:", "http:", "mailto:")):
            continue
        path, _hash, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def outputs_of(text):
    """Names that the commands and the Python code of a page write."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            yield from (name for option, name in pairwise(words) if option in OUTPUTS)
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        yield from re.findall(r'write_\w+\("([^"]+)"', block)


@named(PAGES)
def test_no_example_overwrites_what_another_has_made(page):
    twice = [name for name, count in Counter(outputs_of(page.read_text(encoding="utf-8"))).items() if count > 1]
    assert twice == []


def test_the_tutorial_has_the_steps_of_the_self_test_and_a_picture_for_each():
    source = (ROOT / "SegmentPropagate" / "SegmentPropagateSlicer" / "Tutorial.py").read_text(encoding="utf-8")
    steps = next(node.value for node in ast.parse(source).body
                 if isinstance(node, ast.AnnAssign) and node.target.id == "STEPS")  # fmt: skip
    wanted = [f"{number}. {step.elts[0].value}" for number, step in enumerate(steps.elts, start=1)]
    first, *sections = re.split(r"^## ", TUTORIAL.read_text(encoding="utf-8"), flags=re.M)
    assert [section.splitlines()[0] for section in sections] == wanted
    assert "MRBrainTumor1" in first
    assert "**drawn**" in first
    for section in sections:
        assert re.search(r"^!\[.{10,}\]\(", section, re.M), section.splitlines()[0]


def test_the_page_of_the_experiments_names_what_make_tune_runs():
    page, makefile = (ROOT / "Testing" / "Experiments" / "README.md", ROOT / "Makefile")
    scripts = re.search(r"for script in ([\w ]+);", makefile.read_text(encoding="utf-8")).group(1).split()
    told = re.search(r"`make tune` runs (.+?); each", page.read_text(encoding="utf-8")).group(1)
    assert re.findall(r"`(\w+)`", told) == scripts
