"""Memory rules at the command line: told, chosen, refused."""

from cli_bench import double, here, inputs, out, propagate  # noqa: F401

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.cli.arguments import make_parser
from SegmentPropagateLib.networks.memory_rules import RULES

WORDS = ("image.nii.gz", "--mask", "labels.nii.gz", "--label", 1)


def test_models_tells_what_every_rule_does_and_whose_it_is(capsys):
    assert main(["models"]) == 0
    told = capsys.readouterr().out
    assert all(f"{rule.about} ({rule.source})" in told for rule in RULES.values())


def test_a_wrong_name_is_answered_with_the_right_ones_and_no_file_is_written(double, out, capsys):
    assert propagate(*WORDS, "--memory", "sam4", "-o", out) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert all(name in told for name in ("sam4", *RULES))
    assert not out.exists()


def test_a_model_without_memory_refuses_a_rule(double, out, capsys):
    assert propagate(*WORDS, "--memory", "samurai", "-o", out) == 2
    assert "'threshold' remembers no slices" in capsys.readouterr().err
    assert not out.exists()


def test_a_rule_reaches_the_model(double, out, monkeypatch):
    monkeypatch.setattr(double, "info", {"model": "threshold", "memory": ""}, raising=False)
    opened, open_ = [], double.open

    def record(stack, settings):
        opened.append(settings.memory)
        open_(stack, settings)

    monkeypatch.setattr(double, "open", record, raising=False)
    assert propagate(*WORDS, "--memory", "dam4sam", "-o", out) == 0
    assert opened == ["dam4sam"]


def test_a_batch_takes_a_rule_as_well():
    words = ["batch", "cases", "-o", "out"]
    assert make_parser().parse_args([*words, "--memory", "sam3"]).memory == "sam3"
    assert make_parser().parse_args(words).memory == "sam2"
