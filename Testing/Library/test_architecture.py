"""The rules of the tree that a machine can check, read off the source."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "SegmentPropagateLib"
MODULE = ROOT / "SegmentPropagate"
LIBRARY_FILES = sorted(LIBRARY.rglob("*.py"))
MODULE_FILES = sorted(MODULE.rglob("*.py"))
TEST_FILES = sorted((ROOT / "Testing").rglob("*.py"))


def name_of(path):
    return ".".join(path.relative_to(LIBRARY).with_suffix("").parts)


@cache
def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path, within=None):
    """Full dotted names of everything that the file imports, also inside functions."""
    found = set()
    for node in ast.walk(within or parse(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or "."}
    return found


def packages(path):
    return {name.split(".")[0] for name in imports(path)}


def own_imports(path):
    """Modules of the library that the file imports, by their names within the library."""
    modules = {name_of(file).removesuffix(".__init__") for file in LIBRARY_FILES}
    found = {
        name.removeprefix("SegmentPropagateLib.") for name in imports(path) if name.startswith("SegmentPropagateLib.")
    }
    return {name for name in found if name in modules}


GRAPH = {name_of(path).removesuffix(".__init__"): own_imports(path) for path in LIBRARY_FILES}


def reach(name):
    """All modules that importing `name` can lead to."""
    seen, todo = set(), [name]
    while todo:
        for other in GRAPH[todo.pop()] - seen:
            seen.add(other)
            todo.append(other)
    return seen


# Lower layers know nothing of higher ones; a file that is not listed here may be used by those that use it.
LAYERS = [
    {"errors"},
    {"geometry"},
    {"prompts", "volume_io", "intensity"},
    {"slices", "propagator", "metrics", "memory"},
    {"network", "checkpoints", "classical", "engine", "lanes", "postprocess"},
    {"models", "session"},
    {"overlay", "report"},
    {"worker", "cli"},
]


def test_no_layer_reaches_up():
    for height, layer in enumerate(LAYERS):
        higher = set().union(*LAYERS[height + 1 :])
        for name in layer:
            assert not reach(name) & higher, f"{name} reaches {reach(name) & higher}"


def test_sessions_know_no_network_and_networks_no_volume():
    assert not reach("session") & {"network", "checkpoints", "engine", "models", "classical", "weights"}
    for name in ("engine", "classical", "network", "memory"):
        assert not reach(name) & {"session", "volume_io", "slices"}, name
    assert "torch" not in {package for name in [*reach("session"), "session"] for package in packages_of(name)}


def packages_of(name):
    path = LIBRARY / (name.replace(".", "/") + ".py")
    return packages(path if path.exists() else LIBRARY / name.replace(".", "/") / "__init__.py")


def test_no_file_of_the_library_is_part_of_a_circle():
    for name in GRAPH:
        assert name not in reach(name), name


def test_only_the_command_line_and_the_worker_know_how_they_are_called():
    users = {name for name, used in GRAPH.items() if any(other.split(".")[0] in ("cli", "worker") for other in used)}
    assert all(name.split(".")[0] in ("cli", "__main__", "worker") for name in users), users


def test_the_library_knows_nothing_of_slicer():
    slicer = {"slicer", "qt", "ctk", "vtk", "SegmentPropagate", "SegmentPropagateSlicer"}
    assert [path for path in LIBRARY_FILES if packages(path) & slicer] == []


def test_training_is_used_by_nothing_but_the_command_line_and_itself():
    users = {name for name, used in GRAPH.items() if any(other.split(".")[0] == "training" for other in used)}
    assert {name.split(".")[0] for name in users} <= {"training", "cli"}


def test_requests_is_used_by_weights_alone():
    assert [name_of(path) for path in LIBRARY_FILES if "requests" in packages(path)] == ["weights"]


def test_sam2_is_used_by_few_files():
    users = {name_of(path) for path in LIBRARY_FILES if "sam2" in packages(path) and "training" not in path.parts}
    assert users <= {"engine", "network", "tracking.attention", "tracking.hiera", "tracking.scene", "tracking.tracker"}


def test_simpleitk_is_used_where_volumes_are_read_or_registered():
    users = {name_of(path) for path in LIBRARY_FILES if "SimpleITK" in packages(path)}
    assert users <= {"classical.registration", "formats.dicom", "volume_io"}


def test_importing_the_library_and_its_session_loads_no_torch():
    code = (
        "import sys, SegmentPropagateLib\n"
        "assert not {'torch', 'numpy', 'SimpleITK'} & set(sys.modules), 'import of the package'\n"
        "from SegmentPropagateLib import Session, read_volume, write_segmentation\n"
        "import SegmentPropagateLib.models.loading, SegmentPropagateLib.propagators.classical.engine\n"
        "import SegmentPropagateLib.worker.worker\n"
        "assert 'torch' not in sys.modules\n"
        "assert SegmentPropagateLib.load_model('classical').info['family'] == 'classical'\n"
        "assert 'torch' not in sys.modules, 'the classical model'\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def offenders(paths, faults):
    """`file:line what` for every fault that `faults(path, tree)` yields as `(line, what)`."""
    return [f"{path.relative_to(ROOT)}:{line} {what}" for path in paths for line, what in faults(path, parse(path))]


BORDERS = ("/cli/__init__.py", "/worker.py", "/service.py", "/Widget.py", "/Installer.py", "/StatusLine.py")


def test_broad_excepts_stand_at_the_borders_only():
    def broad(path, tree):
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and catches_all(node) and not raises_again(node):
                yield node.lineno, "broad except"

    inner = [path for path in LIBRARY_FILES + MODULE_FILES if not path.as_posix().endswith(BORDERS)]
    assert offenders(inner, broad) == []


def catches_all(handler):
    names = {node.id for node in ast.walk(handler.type or ast.Name("Exception")) if isinstance(node, ast.Name)}
    return bool(names & {"Exception", "BaseException"})


def raises_again(handler):
    """Clean up and raise: nothing is hidden."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_files_and_functions_stay_readable():
    def long(path, tree):
        lines = path.read_text(encoding="utf-8").count("\n")
        limit = 150 if path == MODULE / "SegmentPropagate.py" else 600 if path in TEST_FILES else 450
        if lines > limit:
            yield lines, f"lines, {limit} is the limit"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno > 70:
                yield node.lineno, f"{node.name} has {node.end_lineno - node.lineno} lines"

    assert offenders(LIBRARY_FILES + MODULE_FILES + TEST_FILES, long) == []


def test_importing_a_file_does_no_work():
    """Definitions, imports and constants only."""

    def work(path, tree):
        for node in tree.body:
            is_call = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
            if is_call or isinstance(node, ast.For | ast.While | ast.With | ast.Try):
                yield node.lineno, "runs on import"

    assert offenders(LIBRARY_FILES, work) == []


def test_no_function_writes_a_global_or_checks_input_by_assert():
    def doubtful(path, tree):
        for node in ast.walk(tree):
            if isinstance(node, ast.Global | ast.Assert):
                yield node.lineno, type(node).__name__

    assert offenders(LIBRARY_FILES, doubtful) == []


def test_only_the_module_itself_lies_in_the_module_folder():
    """Slicer takes any .py directly in a module folder for a module."""
    assert [path.name for path in MODULE.glob("*.py")] == ["SegmentPropagate.py"]


def test_what_the_package_needs_and_what_is_pinned_agree():
    lists = re.findall(
        r"^(?:dependencies|sam2|test) = (\[.*?\])", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M | re.S
    )
    wanted = {plain(line) for text in lists for line in ast.literal_eval(text)} | {"torch", "sam2"}
    assert {"numpy", "hydra-core", "pytest"} <= wanted
    pinned = {
        plain(line)
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line[:1].isalnum()
    }
    assert wanted <= pinned


def plain(requirement):
    return requirement.split("=")[0].split(">")[0].strip().lower()


def test_nothing_that_is_committed_is_large():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    sizes = {
        name: (ROOT / name).stat().st_size for name in listed.stdout.split("\0") if name and (ROOT / name).exists()
    }
    assert max(sizes.values()) < 5_000_000
    assert sum(size for name, size in sizes.items() if name.startswith("Testing/Data")) < 200_000
