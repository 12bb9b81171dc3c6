"""The catalogue of what the panel says, in Qt's .ts format: write it, or tell whether it is up to date.

    python translations.py            # writes
    python translations.py --check    # exit status 1 if it differs

Texts are the literals of `_()` and the strings of the .ui file. The context of a text is what Slicer looks it up by:
`Package.Module` of the Python file (`slicer.i18n.getContext`), the class of the .ui file.
"""

import ast
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

MODULE = Path(__file__).resolve().parents[3] / "SegmentPropagate"
CATALOGUE = MODULE / "Resources" / "Translations" / "SegmentPropagate_en-US.ts"
HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n'


def context_of(path):
    """The context of a Python file's texts, as `slicer.i18n.getContext` names it."""
    return f"{path.parent.name}.{path.stem}" if (path.parent / "__init__.py").is_file() else path.stem


def calls_of(path):
    """The calls of `_` in a Python file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_"]  # fmt: skip


def texts_of_python(path):
    """What a Python file has translated."""
    return [call.args[0].value for call in calls_of(path) if isinstance(call.args[0], ast.Constant)]


def texts_of_ui(path):
    """Context and texts of a .ui file."""
    root = ET.parse(path).getroot()
    return root.findtext("class"), [node.text for node in root.iter("string") if node.text]


def collect():
    """Context -> texts, both sorted, each text once."""
    found = {}
    for path in MODULE.rglob("*.py"):
        found.setdefault(context_of(path), set()).update(texts_of_python(path))
    for path in MODULE.rglob("*.ui"):
        context, texts = texts_of_ui(path)
        found.setdefault(context, set()).update(texts)
    return {context: sorted(texts) for context, texts in sorted(found.items()) if texts}


def catalogue():
    """The text of the .ts file."""
    root = ET.Element("TS", version="2.1", language="en_US", sourcelanguage="en_US")
    for name, texts in collect().items():
        context = ET.SubElement(root, "context")
        ET.SubElement(context, "name").text = name
        for text in texts:
            message = ET.SubElement(context, "message")
            ET.SubElement(message, "source").text = text
            ET.SubElement(message, "translation", type="unfinished")
    ET.indent(root, "    ")
    return HEAD + ET.tostring(root, encoding="unicode") + "\n"


def main():
    """Write or check."""
    wanted = catalogue()
    if "--check" in sys.argv:
        return not CATALOGUE.is_file() or CATALOGUE.read_text(encoding="utf-8") != wanted
    CATALOGUE.parent.mkdir(exist_ok=True)
    CATALOGUE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
