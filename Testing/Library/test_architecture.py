"""The rules of the tree that a machine can check, read off the source."""

import ast
import gc
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


# Each row may import the rows before it and itself, and within a row a package only itself.
LIBRARY_FLOORS = (
    ("errors", "wording"),
    ("process",),
    ("files", "locking"),
    ("volumes", "phantoms"),
    ("formats", "propagation", "networks"),
    ("propagators", "reports"),
    ("models",),
    ("prompting",),
    ("training", "worker", "batch", "archive"),
    ("server", "project"),
    ("cli",),
    ("__main__",),
)
MODULE_FLOORS = (
    ("Values",),
    ("Scene",),
    ("Runs",),
    ("Review",),
    ("Worklist",),
    ("Scripting",),
    ("Prompting",),
    ("Logic",),
    ("Panel",),
    ("Tutorial",),
    ("Effect",),
    ("SelfTest",),
)
# What the Slicer half knows of the library: values, lists of cases, the registry of names, the words of the worker.
SEAM = (
    "errors",
    "process",
    "files",
    "volumes",
    "formats.cases",
    "formats.plain_nrrd",
    "formats.templates",
    "formats.worklist",
    "propagation.prompts",
    "propagation.propagator",
    "propagation.review",
    "models.registry",
    "project.listing",
    "project.notes",
    "worker.exchange",
    "worker.fields",
    "worker.messages",
    "worker.remote.address",
    "worker.protocol",
    "worker.replies",
    "worker.requests",
    "worker.setup",
)

# Foreign package -> the packages and modules of the library that may import it.
FOREIGN = {
    "torch": (
        "networks",
        "propagators.stacking.head",
        "propagators.stacking.lessons",
        "propagators.stacking.looks",
        "propagators.tracking",
        "models.devices",
        "models.loading",
        "prompting.landmarks",
        "prompting.prototypes",
        "prompting.sap_net",
        "training",
        "cli.finetune",
    ),
    "sam2": ("networks", "propagators.tracking.hiera", "propagators.tracking.tracker"),
    "SimpleITK": ("formats", "propagators.classical.registration"),
    "requests": ("models.transfer", "archive"),
    **dict.fromkeys(("urllib3", "dicomweb_client"), ("archive",)),
    "psutil": ("process",),
    "safetensors": ("networks.safe_load",),
    "ray": ("batch.ray_engine",),
    "starlette": ("server.gateway",),
    "uvicorn": ("server.run",),
    "websockets": ("worker.remote.proxy",),
    "zstandard": ("worker.remote.packing",),
    **dict.fromkeys(("highdicom", "pydicom"), ("formats.dicom_seg", "formats.dicom_segments", "archive")),
    **dict.fromkeys(("slicer", "qt", "ctk", "vtk", "SegmentPropagate", "SegmentPropagateSlicer"), ()),
}
# The same for the Slicer half.
MODULE_FOREIGN = {
    "qt": ("Panel", "Effect", "Runs.WorkerProcess", "Runs.Program", "Runs.Training", "Runs.ProjectCommand"),
    "ctk": ("Panel", "Effect"),
    "vtk": ("Scene", "Logic", "Panel", "Effect"),
    "torch": (),
    "sam2": (),
    "SimpleITK": (),
    "psutil": (),
}
PARTS = MODULE / "SegmentPropagateSlicer"


@pytest.fixture(scope="module", autouse=True)
def parsed_once():
    """Trees are kept for this file's tests; looking for garbage among them would take as long as parsing."""
    gc.disable()
    yield
    parse.cache_clear()
    gc.enable()


@cache
def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def imports(path):
    """Full dotted names of everything that the file imports, also inside functions."""
    found = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or "."}
    return found


def name_within(folder, path):
    return ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")


@cache
def graph_of(folder):
    """Module -> modules of the same folder that it imports, by their names within it."""
    files = {name_within(folder, path): path for path in folder.rglob("*.py")}
    starts = f"{folder.name}."
    return {
        name: {used.removeprefix(starts) for used in imports(path) if used.startswith(starts)} & set(files) - {name}
        for name, path in files.items()
    }


def reach(graph, name):
    """All modules that importing `name` can lead to, itself only where it is part of a circle."""
    seen, todo = set(), [name]
    while todo:
        for other in graph[todo.pop()] - seen:
            seen.add(other)
            todo.append(other)
    return seen


def faults_of(graph, floors):
    """Modules in no package, and imports against the floors, one line each."""
    height = {package: number for number, floor in enumerate(floors) for package in floor}
    faults = [f"{name} is in no package" for name in graph if name and name.split(".")[0] not in {*height, "__init__"}]
    for name, used in graph.items():
        package = name.split(".")[0]
        for other in used - {"__init__"}:
            target = other.split(".")[0]
            if package in height and target in height and target != package and height[target] >= height[package]:
                faults.append(f"{name} imports {other}")
    return faults


@pytest.mark.parametrize(
    ("folder", "floors"), [(LIBRARY, LIBRARY_FLOORS), (PARTS, MODULE_FLOORS)], ids=["library", "module"]
)
def test_every_module_is_in_a_package_and_imports_only_what_lies_below(folder, floors):
    assert faults_of(graph_of(folder), floors) == []


def test_a_module_in_no_package_and_an_arrow_upwards_are_found():
    graph = {"errors": set(), "shed": set(), "volumes.volume": {"errors", "formats.reading"}, "formats.reading": set()}
    assert faults_of(graph, LIBRARY_FLOORS) == ["shed is in no package", "volumes.volume imports formats.reading"]
    assert faults_of({"worker.service": {"training.clips"}}, LIBRARY_FLOORS) == [
        "worker.service imports training.clips"
    ]


@pytest.mark.parametrize("folder", [LIBRARY, PARTS], ids=["library", "module"])
def test_no_file_is_part_of_a_circle(folder):
    assert [name for name in graph_of(folder) if name in reach(graph_of(folder), name)] == []


def within(name, places):
    return any(name == place or name.startswith(place + ".") for place in places)


@pytest.mark.parametrize(
    ("folder", "allowed"), [(LIBRARY, FOREIGN), (PARTS, MODULE_FOREIGN)], ids=["library", "module"]
)
def test_foreign_packages_are_imported_where_they_belong(folder, allowed):
    found = [
        f"{name_within(folder, path)} imports {package}"
        for path in folder.rglob("*.py")
        for package in {name.split(".")[0] for name in imports(path)} & set(allowed)
        if not within(name_within(folder, path), allowed[package])
    ]
    assert found == []


def test_the_slicer_half_knows_little_of_the_library():
    used = {
        name.removeprefix("SegmentPropagateLib.")
        for path in PARTS.rglob("*.py")
        for name in imports(path)
        if name.startswith("SegmentPropagateLib.")
    } & set(graph_of(LIBRARY))
    assert {name for name in used if not within(name, SEAM)} == set()


def test_sessions_know_no_network_and_propagators_no_session():
    graph, session = graph_of(LIBRARY), "propagation.session"
    assert not {name.split(".")[0] for name in reach(graph, session)} & {"networks", "propagators", "formats"}
    knowing = {name for name in graph if session in reach(graph, name)}
    assert {name.split(".")[0] for name in knowing}.isdisjoint({"networks", "propagators"})


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


BORDERS = ("/cli/__init__.py", "/worker/worker.py", "/batch/child.py", "/Panel/StatusLine.py")


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
        limit = 150 if path == MODULE / "SegmentPropagate.py" else 400
        if lines > limit:
            yield lines, f"lines, {limit} is the limit"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 50:
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
        r"^(?:dependencies|sam2|test|slow|docs|dicom|server|ray) = (\[.*?\])$",
        (ROOT / "pyproject.toml").read_text(encoding="utf-8"),
        re.M | re.S,
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
    return re.split(r"[=>\[]", requirement)[0].strip().lower()


def test_every_action_of_the_workflows_is_pinned_by_its_commit_and_says_its_version():
    lines = [
        line
        for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if "uses:" in line
    ]
    assert lines
    assert [line for line in lines if not re.search(r"uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)] == []


def test_nothing_that_is_committed_is_large():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    sizes = {
        name: (ROOT / name).stat().st_size for name in listed.stdout.split("\0") if name and (ROOT / name).exists()
    }
    assert max(sizes.values()) < 5_000_000
    assert sum(size for name, size in sizes.items() if name.startswith("Testing/Data")) < 200_000


# The harness stands for Slicer, and keeps apart what is its own and what Slicer has.
TESTS = [path for path in TEST_FILES if "Harness" not in path.parts]


# What a NamedTuple offers, and sam2's own steps, which the library's are compared with.
OFFERED = {"_replace", "_asdict", "_fields", "_prepare_backbone_features", "_encode_new_memory"}


def is_private(name):
    return name.startswith("_") and not name.endswith("__") and name not in OFFERED


def private_names(path, tree):
    """Private names that are imported, read off something other than `self`, or given to setattr as a string."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls", "super()"):
            names = [node.attr]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("setattr", "getattr", "hasattr")):
            texts = [word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
            names = [] if ast.unparse(node.args[0]).startswith("torch.") else ".".join(texts).split(".")
        yield from ((node.lineno, name) for name in names if is_private(name))


def test_tests_use_public_names_only():
    assert offenders(TESTS, private_names) == []


def test_what_reads_private_names_is_found():
    code = (
        "from SegmentPropagateLib.phantoms.phantom import _draw, make_phantom\n"
        "self._mine, session.lanes, pair._replace\n"
        "session._lanes\n"
        'monkeypatch.setattr(Trainer, "_loss", 1)\n'
        'monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", 1)\n'
    )
    assert list(private_names(None, ast.parse(code))) == [(1, "_draw"), (3, "_lanes"), (4, "_loss")]
