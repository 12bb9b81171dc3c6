"""The page on projects: its commands are ones that the program takes, and they do what it says."""

import re
from pathlib import Path

import pytest
from test_readme import commands_of

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.cli.arguments import make_parser
from SegmentPropagateLib.project.annotator import cost
from SegmentPropagateLib.project.folder import Project

TEXT = (Path(__file__).resolve().parents[2] / ".github" / "PROJECT.md").read_text(encoding="utf-8")
COMMANDS = [words for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S) for words in commands_of(block)]
(DRAWING,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_of_the_page_is_one_that_the_program_takes(words):
    make_parser().parse_args(words)  # raises InputError


@pytest.mark.slow
def test_whoever_follows_the_page_sees_the_fourth_case_get_cheaper(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(DRAWING, "PROJECT.md", "exec"), {})
    commands = [words for words in COMMANDS if words[2] == "my-project"]  # the rehearsal takes as long again
    assert [main(words) for words in commands] == [0] * len(commands), capsys.readouterr().err
    state = Project("my-project").state()
    costs = {entry["case"]: cost(entry) for entry in state.accepted}
    assert list(costs) == ["body-1", "body-2", "body-4", "body-3"]
    assert costs["body-4"] < costs["body-1"]
    assert (state.round, state.model) == (2, "starter")
    assert (tmp_path / "rounds.html").is_file()
