"""Benchmarks find what they measure; the figures themselves are theirs."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
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


def test_a_report_tells_the_kinds_of_objects_apart(evaluate, tmp_path, capsys):
    drawn = importlib.import_module("evaluation_targets").drawn_target(1, "contact", (12, 64, 64))
    structures = ("liver", "kidney_left", "vertebrae_L1")
    targets = [replace(drawn, case=name, structure=name) for name in structures]
    np.savez(tmp_path / "masks.npz", open=drawn.truth)
    results = [
        {"masks": str(tmp_path / "masks.npz"), "open": figures(dsc), "range": figures(dsc)} for dsc in (0.9, 0.7, 0.5)
    ]
    evaluate.write_report(tmp_path, targets, {"copy": results, "classical": results})
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith(("| organs ", "| vertebrae "))] == 2 * [
        "| organs | 2, 2 | 0.80 (0.70 to 0.90), FP 0.25 | 0.80 (0.70 to 0.90), FP 0.25 |",
        "| vertebrae | 1, 1 | 0.50, FP 0.25 | 0.50, FP 0.25 |",
    ]
    assert (tmp_path / "classical.png").exists()


def figures(dsc):
    names = ("dsc_near", "absent_with_false_positive", "present_but_empty", "seconds_per_slice")
    return {"dsc": dsc, **dict.fromkeys(names, 0.25)}
