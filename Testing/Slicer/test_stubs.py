"""The declarations that mypy reads name only what the real Slicer, Qt and VTK have, with the parameters they have."""

import ast
import inspect
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUBS = ROOT / "Testing" / "Harness" / "stubs"
TOOLS = ROOT / "Testing" / "Harness" / "tools"
sys.path.insert(0, str(TOOLS))
NOT_RECORDED = {  # left out of qt_api.json, as a module gets them but never names them
    "qSlicerAbstractCoreModule",
    "qSlicerScriptedLoadableModule",
    "qSlicerMarkupsModule",
}


def declared(stub):
    """Classes of a stub: name -> (bases, properties, methods); and its functions: name -> parameters."""
    tree = ast.parse((STUBS / stub).read_text(encoding="utf-8"))
    classes = {
        node.name: (
            [base.id for base in node.bases if isinstance(base, ast.Name)],
            {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)},
            {item.name for item in node.body if isinstance(item, ast.FunctionDef)} - {"__init__"},
        )
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }
    functions = {
        node.name: [argument.arg for argument in node.args.args]
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }
    return classes, functions


@pytest.fixture(scope="module")
def api(slicer_app):
    from check_api import Api
    from record_qt_api import unpack

    by_tag = unpack((TOOLS / "qt_api.json").read_text(encoding="utf-8"))
    return [Api(classes) for classes in by_tag.values()]


def test_the_classes_of_qt_have_these_properties_and_methods(api):
    in_slicer = {name: parts for name, parts in declared("slicer/__init__.pyi")[0].items() if name.startswith("q")}
    classes = {**declared("qt.pyi")[0], **in_slicer}
    assert len(classes) > 20
    found = [
        f"{name}.{what}"
        for version in api
        for name, (_bases, properties, methods) in classes.items()
        if name not in NOT_RECORDED
        for what in unknown(version, name, properties, methods)
    ]
    assert found == []


def unknown(version, name, properties, methods):
    """What a Qt class lacks; a property that is declared as a method counts, and the other way round."""
    cls = version.qt.get(name)
    if cls is not None and not hasattr(cls, "staticMetaObject"):  # a value: it has no properties
        return {member for member in properties | methods if not hasattr(cls, member)}
    known = version.lookup(name)
    if known is None:
        return {"class"}
    constants = {member for member in properties if member[0].isupper() and hasattr(cls, member)}
    return (properties - known[0] - constants) | (methods - known[1])


def test_the_classes_of_vtk_and_mrml_have_these_methods_and_constants(slicer_app):
    import vtk

    for module, stub in ((slicer_app, "slicer/__init__.pyi"), (vtk, "vtk/__init__.pyi")):
        classes = declared(stub)[0]
        vtk_classes = {name: parts for name, parts in classes.items() if name.startswith("vtk")}
        assert len(vtk_classes) > 5
        missing = [
            f"{name}.{member}"
            for name, (_bases, constants, methods) in vtk_classes.items()
            for member in constants | methods
            if not hasattr(getattr(module, name, None), member)
        ]
        assert missing == []


def test_a_node_class_derives_from_what_is_declared(slicer_app):
    import vtk

    wrong = [
        f"{name} from {base}"
        for name, (bases, _constants, _methods) in declared("slicer/__init__.pyi")[0].items()
        for base in bases
        if name.startswith("vtk")
        and not issubclass(getattr(slicer_app, name), getattr(slicer_app, base, None) or getattr(vtk, base))
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ["slicer.util", "slicer.i18n", "vtk.util.numpy_support"])
def test_functions_have_these_parameters(slicer_app, module):
    functions = declared(module.replace(".", "/") + ".pyi")[1]
    real = import_module(module)
    wrong = [
        f"{name}({', '.join(parameters)})"
        for name, parameters in functions.items()
        if list(inspect.signature(getattr(real, name)).parameters)[: len(parameters)] != parameters
    ]
    assert functions
    assert wrong == []


@pytest.mark.parametrize("module", ["slicer.ScriptedLoadableModule", "slicer.util"])
def test_base_classes_have_these_methods(slicer_app, module):
    classes = declared(module.replace(".", "/") + ".pyi")[0]
    real = import_module(module)
    missing = [
        f"{name}.{method}"
        for name, (_bases, _properties, methods) in classes.items()
        for method in methods
        if not hasattr(getattr(real, name), method)
    ]
    assert classes
    assert missing == []
