"""Every function of both halves says what it takes and gives; `make lint` has mypy check that it is true."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HALVES = (ROOT / "SegmentPropagateLib", ROOT / "SegmentPropagate")


def files():
    return [path for half in HALVES for path in sorted(half.rglob("*.py"))]


def unannotated(tree):
    """`(line, what)` for every argument but self and cls, and every return, without an annotation."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        given = node.args
        for argument in [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]:
            if argument is not None and argument.annotation is None and argument.arg not in ("self", "cls"):
                yield argument.lineno, f"{node.name}: {argument.arg}"
        if node.returns is None:
            yield node.lineno, f"{node.name}: what it returns"


def test_every_function_of_both_halves_is_annotated():
    found = [
        f"{path.relative_to(ROOT)}:{line} {what}"
        for path in files()
        for line, what in unannotated(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("def f(a: int, *b: int, c: int = 1, **d: int) -> None: ...", []),
        ("class A:\n    def f(self) -> None: ...\n    @classmethod\n    def g(cls) -> None: ...", []),
        ("def f(a, *b, c=1, **d): ...", ["f: a", "f: b", "f: c", "f: d", "f: what it returns"]),
        ("def f() -> None:\n    def g(): ...", ["g: what it returns"]),
    ],
)
def test_what_is_not_annotated_is_found(code, missing):
    assert [what for _line, what in unannotated(ast.parse(code))] == missing
