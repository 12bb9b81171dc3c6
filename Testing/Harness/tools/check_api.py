"""Static check: does a module use only names that real Slicer has?

    python check_api.py MODULE_DIR [--api qt_api.json]

Checked, for every Slicer version recorded in qt_api.json:
* ``slicer.X``, ``slicer.util.f``, ``qt.X``, ``ctk.X``
* ``ui.<widget>.<name>`` (also ``self.ui``, ``context.ui``, ...) against the widget's class in the .ui file; a property
  must not be called
* ``qt.<Class>.<name>``
* ``connect("signal(type)")`` signatures
* CamelCase method names against every VTK/MRML class of slicer-core
* in .ui files: property names of ctk/qMRML widgets, and the signals and slots of <connections>
"""

import argparse
import ast
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from record_qt_api import unpack

SLICER_NAMES = {
    "app", "util", "modules", "mrmlScene", "i18n", "selfTests", "cli", "logic", "testing", "packaging",
    "parameterNodeWrapper", "ScriptedLoadableModule", "defaultModule", "dockerized",
}  # fmt: skip


class Api:
    def __init__(self, classes):
        from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

        self.classes = classes
        self.qt = {}
        for module in (QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets):
            for name in dir(module):
                self.qt.setdefault(name, getattr(module, name))

    def lookup(self, class_name):
        """(properties, methods, signals) with bases; None when the class is unknown."""
        properties, methods, signals = set(), set(), set()
        while class_name in self.classes:
            record = self.classes[class_name]
            properties.update(record["properties"])
            methods.update(record["methods"])
            signals.update(record["signals"])
            class_name = record["base"]
        cls = self.qt.get(class_name)
        if cls is None:
            return (properties, methods, signals) if signals or methods else None
        meta = cls.staticMetaObject
        properties.update(meta.property(i).name() for i in range(meta.propertyCount()))
        for i in range(meta.methodCount()):
            method = meta.method(i)
            if method.methodType().name == "Signal":
                signals.add(bytes(method.methodSignature().data()).decode())
        methods.update(n for n in dir(cls) if not n.startswith("__"))
        methods.update(("connect", "disconnect", "setProperty", "property"))
        properties.add("name")
        return properties, methods - properties, signals


def ui_classes(folder, api, report):
    """{widget name: class} of all .ui files; reports what is wrong in them."""
    classes = {}
    for path in sorted(folder.rglob("*.ui")):
        root = ET.parse(path).getroot()
        for element in root.iter("widget"):
            kind, name = element.get("class"), element.get("name")
            classes[name] = kind
            known = api.lookup(kind)
            if known is None:
                report(path, 0, f"widget class {kind} does not exist")
                continue
            for item in element.findall("property"):
                if kind in api.classes and item.get("name") not in known[0]:
                    report(path, 0, f"{kind} has no property {item.get('name')!r}")
        for item in root.iter("connection"):
            check_connection(path, item, classes, api, report)
    return classes


def check_connection(path, item, classes, api, report):
    """Signal and slot of one <connection>."""
    sender, signal = classes.get(item.findtext("sender")), item.findtext("signal")
    receiver, slot = classes.get(item.findtext("receiver")), item.findtext("slot")
    if sender is None or (api.lookup(sender) and signal not in api.lookup(sender)[2]):
        report(path, 0, f"connection: {sender} has no signal {signal}")
    if receiver is None or (api.lookup(receiver) and slot.split("(")[0] not in api.lookup(receiver)[1]):
        report(path, 0, f"connection: {receiver} has no slot {slot}")


def dotted(node):
    """``a.b.c`` as ["a", "b", "c"]; empty for anything else."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []


class Source:
    """One Python file: its nodes, and what it calls, defines and imports. A version is checked with it in no time."""

    def __init__(self, path):
        self.path = path
        self.nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        self.called = {id(n.func) for n in self.nodes if isinstance(n, ast.Call)}
        self.inner = {id(n.value) for n in self.nodes if isinstance(n, ast.Attribute)}
        self.own = {n.name for n in self.nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
        self.imported = {
            alias.asname or alias.name.split(".")[0]
            for n in self.nodes
            if isinstance(n, (ast.Import, ast.ImportFrom))
            for alias in n.names
        } - {"slicer", "vtk", "qt", "ctk"}


class FileChecker:
    """Checks one Python file against one Slicer version.

    Args:
        source: the file.
        api: `Api` of the version.
        widgets: {widget name: class} of the .ui files.
        names: `recorded_names()`.
        report: called as ``report(path, line, text)``.
    """

    def __init__(self, source, api, widgets, names, report):
        self.source, self.api, self.widgets, self.names = source, api, widgets, names
        self.report = lambda node, text: report(source.path, node.lineno, text)

    def check(self):
        """Report everything that the version lacks."""
        for node in self.source.nodes:
            if isinstance(node, ast.Attribute) and id(node) not in self.source.inner:
                self.check_attribute(node, dotted(node))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "connect":
                self.check_signal(node, dotted(node.func))

    def check_attribute(self, node, chain):
        """A whole dotted name."""
        if chain[:2] == ["slicer", "util"]:
            self.require(node, chain[2] in self.names["util"], f"slicer.util.{chain[2]}")
        elif chain[:1] == ["slicer"]:
            known = self.names["slicer"] | SLICER_NAMES | set(self.api.classes)
            self.require(node, chain[1] in known, f"slicer.{chain[1]}")
        elif chain[:1] == ["ctk"]:
            self.require(node, chain[1] in self.api.classes, f"ctk.{chain[1]}")
        elif chain[:1] == ["qt"]:
            self.check_qt(node, chain)
        elif "ui" in chain[:-1]:
            self.check_widget(node, chain[chain.index("ui") + 1 :])
        elif node.attr[:1].isupper() and id(node) in self.source.called:
            self.check_method(node, chain)

    def require(self, node, exists, name):
        """Report a name that does not exist."""
        if not exists:
            self.report(node, f"{name} does not exist")

    def check_qt(self, node, chain):
        """``qt.Class`` or ``qt.Class.name``."""
        cls = self.api.qt.get(chain[1])
        self.require(node, cls is not None, f"qt.{chain[1]}")
        if cls is not None and len(chain) > 2:
            self.require(node, hasattr(cls, chain[2]), f"qt.{chain[1]}.{chain[2]}")

    def check_widget(self, node, chain):
        """``ui.<widget>`` or ``ui.<widget>.<name>``."""
        if chain[0] not in self.widgets:
            self.report(node, f"no widget {chain[0]!r} in the .ui files")
            return
        kind = self.widgets[chain[0]]
        known = self.api.lookup(kind)
        if known is None or len(chain) < 2:
            return
        properties, methods, signals = known
        if chain[1] not in properties | methods | {signal.split("(")[0] for signal in signals}:
            self.report(node, f"{kind} has no {chain[1]!r}")
        elif len(chain) == 2 and chain[1] in properties and id(node) in self.source.called:
            self.report(node, f"{kind}.{chain[1]} is a property: no ()")

    def check_method(self, node, chain):
        """A CamelCase method: some VTK or MRML class must have it."""
        known = node.attr in self.names["methods"] or node.attr in self.source.own
        if not known and not (chain and chain[0] in self.source.imported):
            self.report(node, f"no VTK or MRML class has a method {node.attr}")

    def check_signal(self, node, chain):
        """``ui.<widget>.connect("signal(type)", ...)``."""
        first = node.args[0] if node.args else None
        if "ui" not in chain or not isinstance(first, ast.Constant) or not isinstance(first.value, str):
            return
        kind = self.widgets.get(chain[chain.index("ui") + 1])
        known = self.api.lookup(kind)
        if known and first.value not in known[2]:
            self.report(node, f"{kind} has no signal {first.value!r}")


def recorded_names():
    """Names of `slicer.util`, of the VTK classes in `slicer`, and of all methods of VTK and MRML classes."""
    import slicer
    import vtk

    util = {n for n in dir(slicer.util) if not n.startswith("_")}
    classes = {n for n in dir(slicer) if n.startswith("vtk")}
    vtk_classes = [getattr(vtk, n) for n in dir(vtk) if n.startswith("vtk")]
    all_classes = [getattr(slicer, n) for n in classes] + [c for c in vtk_classes if isinstance(c, type)]
    return {"util": util, "slicer": classes, "methods": {m for cls in all_classes for m in dir(cls)}}


def problems_in(folder, api_text):
    """{(path, line, text): Slicer versions} of everything in a module folder that a recorded version lacks."""
    names, problems = recorded_names(), {}
    sources = [Source(path) for path in sorted(folder.rglob("*.py"))]
    for tag, classes in unpack(api_text).items():
        api = Api(classes)

        def report(path, line, text, tag=tag):
            problems.setdefault((str(path), line, text), []).append(tag)

        widgets = ui_classes(folder, api, report)
        for source in sources:
            FileChecker(source, api, widgets, names, report).check()
    return problems


def main():
    """Print what is wrong; exit status 1 if anything is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--api", type=Path, default=Path(__file__).with_name("qt_api.json"))
    arguments = parser.parse_args()
    problems = problems_in(arguments.folder, arguments.api.read_text(encoding="utf-8"))
    for (path, line, text), tags in sorted(problems.items()):
        print(f"{path}:{line}: {text}  [{', '.join(tags)}]")
    print(f"{len(problems)} problem(s)")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
