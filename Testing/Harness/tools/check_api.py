"""Static check: does a module use only names that real Slicer has?

    python check_api.py MODULE_DIR [--api qt_api.json]

Checked, for every Slicer version recorded in qt_api.json:
* ``slicer.X``, ``slicer.util.f``, ``qt.X``, ``ctk.X``
* ``self.ui.<widget>.<name>`` against the widget's class in the .ui file; a property must not be called
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
                key = item.get("name")
                if (key not in known[0] and item.find("string") is None and kind in api.classes) or (
                    key not in known[0] and kind in api.classes and not key.startswith("Slicer")
                ):
                    report(path, 0, f"{kind} has no property {key!r}")
        for item in root.iter("connection"):
            sender, signal = classes.get(item.findtext("sender")), item.findtext("signal")
            receiver, slot = classes.get(item.findtext("receiver")), item.findtext("slot")
            if sender is None or (api.lookup(sender) and signal not in api.lookup(sender)[2]):
                report(path, 0, f"connection: {sender} has no signal {signal}")
            if receiver is None or (api.lookup(receiver) and slot.split("(")[0] not in api.lookup(receiver)[1]):
                report(path, 0, f"connection: {receiver} has no slot {slot}")
    return classes


def dotted(node):
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []


def check_python(path, api, widgets, names, report):
    tree = ast.parse(path.read_text())
    called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    inner = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    imported = {a.asname or a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported -= {"slicer", "vtk", "qt", "ctk"}
    for node in ast.walk(tree):  # self.ui.x = ... : a widget made in code, class unknown
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            chain = dotted(node)
            if chain[:2] == ["self", "ui"] and len(chain) == 3:
                widgets.setdefault(chain[2], None)
    own = {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            chain = dotted(node)
            if chain[:2] == ["slicer", "util"] and len(chain) == 3 and chain[2] not in names["util"]:
                report(path, node.lineno, f"slicer.util.{chain[2]} does not exist")
            elif chain[:1] == ["slicer"] and len(chain) == 2:
                if chain[1] not in names["slicer"] | SLICER_NAMES | set(api.classes):
                    report(path, node.lineno, f"slicer.{chain[1]} does not exist")
            elif chain[:1] == ["ctk"] and len(chain) == 2 and chain[1] not in api.classes:
                report(path, node.lineno, f"ctk.{chain[1]} does not exist")
            elif chain[:1] == ["qt"] and len(chain) == 2 and chain[1] not in api.qt:
                report(path, node.lineno, f"qt.{chain[1]} does not exist")
            elif chain[:2] == ["self", "ui"] and len(chain) >= 3:
                if chain[2] not in widgets:
                    report(path, node.lineno, f"no widget {chain[2]!r} in the .ui files")
                elif len(chain) == 4:
                    known = api.lookup(widgets[chain[2]])
                    if known:
                        properties, methods, signals = known
                        if chain[3] not in properties | methods | {s.split("(")[0] for s in signals}:
                            report(path, node.lineno, f"{widgets[chain[2]]} has no {chain[3]!r}")
                        elif chain[3] in properties and id(node) in called:
                            report(path, node.lineno, f"{widgets[chain[2]]}.{chain[3]} is a property: no ()")
            elif node.attr[:1].isupper() and id(node) in called and id(node) not in inner:
                if node.attr not in names["methods"] | own and chain[:1] not in (["slicer"], ["qt"], ["ctk"]):
                    if chain and chain[0] in imported:
                        continue
                    report(path, node.lineno, f"no VTK or MRML class has a method {node.attr}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "connect":
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                chain = dotted(node.func)
                if chain[:2] == ["self", "ui"] and chain[2] in widgets:
                    known = api.lookup(widgets[chain[2]])
                    if known and first.value not in known[2]:
                        report(path, node.lineno, f"{widgets[chain[2]]} has no signal {first.value!r}")


def recorded_names():
    import slicer
    import vtk

    util = {n for n in dir(slicer.util) if not n.startswith("_")}
    classes = {n for n in dir(slicer) if n.startswith("vtk")}
    methods = {m for n in classes for m in dir(getattr(slicer, n))}
    methods |= {
        m for n in dir(vtk) if n.startswith("vtk") and isinstance(getattr(vtk, n), type) for m in dir(getattr(vtk, n))
    }
    return {"util": util, "slicer": classes, "methods": methods}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--api", type=Path, default=Path(__file__).with_name("qt_api.json"))
    arguments = parser.parse_args()
    names, problems = recorded_names(), {}
    for tag, classes in unpack(arguments.api.read_text()).items():
        api = Api(classes)

        def report(path, line, text, tag=tag):
            problems.setdefault((str(path), line, text), []).append(tag)

        widgets = ui_classes(arguments.folder, api, report)
        for path in sorted(arguments.folder.rglob("*.py")):
            check_python(path, api, widgets, names, report)
    for (path, line, text), tags in sorted(problems.items()):
        print(f"{path}:{line}: {text}  [{', '.join(tags)}]")
    print(f"{len(problems)} problem(s)")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
