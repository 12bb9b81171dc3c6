"""Benchmarks find what they measure; the figures themselves are theirs."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "Benchmarks"


@pytest.fixture
def evaluate(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("evaluate")
    for name in [name for name in sys.modules if name.startswith("evaluat")]:
        del sys.modules[name]


def test_results_of_the_classical_method_depend_on_files_that_exist(evaluate):
    everything = evaluate.classical_sources()
    assert {path.name for path in everything} > {"carrier.py", "engine.py", "finishing.py", "loading.py"}
    assert [
        path for path in (*everything, *evaluate.classical_sources("regions", "growcut")) if not path.is_file()
    ] == []


def test_an_evaluation_without_volumes_says_so(evaluate, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--data", str(tmp_path)])
    evaluate.main()
    assert "no evaluation volumes" in capsys.readouterr().out
