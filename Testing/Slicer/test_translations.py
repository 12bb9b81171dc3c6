"""What the panel says can be translated, and the catalogue has all of it."""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "SegmentPropagate"
sys.path.insert(0, str(ROOT / "Testing" / "Harness" / "tools"))

import translations  # noqa: E402

# Where a text goes that the user sees: names of functions, and of properties that are set.
SHOWN_BY = {"say", "complain", "addItem", "addAction", "setText", "setToolTip", "setWindowTitle", "InputError",
            "InstallError", "question", "warningDisplay", "errorDisplay", "QLabel", "QPushButton",
            "setHorizontalHeaderLabels", "getExistingDirectory"}  # fmt: skip
SHOWN_IN = {"text", "toolTip", "title", "placeholderText", "helpText", "acknowledgementText"}


def scripts():
    return sorted(MODULE.rglob("*.py"))


def bare(node):
    """Literals in an expression that read as words and are not handed to `_()` or `translate()`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "translate"):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"[a-z]{3} [a-z]", node.value):
        yield node.value
    if isinstance(node, (ast.JoinedStr, ast.BinOp, ast.IfExp, ast.List, ast.Tuple, ast.FormattedValue)):
        for child in ast.iter_child_nodes(node):
            yield from bare(child)


def shown(tree):
    """Expressions whose value the user sees."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in SHOWN_BY:
                yield from node.args
        elif isinstance(node, ast.Assign) and any(getattr(t, "attr", "") in SHOWN_IN for t in node.targets):
            yield node.value


def test_every_text_that_is_shown_is_handed_to_the_translation():
    found = [(path.name, text) for path in scripts() for expression in shown(ast.parse(path.read_text("utf-8")))
             for text in bare(expression)]  # fmt: skip
    assert found == []


def test_what_is_translated_stands_there_as_a_literal():
    """A catalogue is made from literals; `Panel.InputSection` says why it has one call without."""
    other = [path.name for path in scripts() for call in translations.calls_of(path)
             if not isinstance(call.args[0], ast.Constant)]  # fmt: skip
    assert other == ["InputSection.py"]


def test_the_catalogue_is_up_to_date():
    written = translations.CATALOGUE.read_text(encoding="utf-8")
    assert written == translations.catalogue(), "run Testing/Harness/tools/translations.py"


def test_a_context_is_the_one_that_slicer_looks_a_text_up_by(slicer_app):
    from slicer.i18n import getContext

    contexts = translations.collect()
    for path in scripts():
        if translations.texts_of_python(path):
            assert getContext(str(path)) in contexts
    assert "Propagate" in contexts["SegmentPropagate"]  # of the .ui file
