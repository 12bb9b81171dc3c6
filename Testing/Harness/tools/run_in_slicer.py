"""Open the module's panel inside real Slicer, run its self test, and leave a verdict, a picture and the live API.

    Slicer --no-splash --testing --ignore-slicerrc --additional-module-paths $PWD/SegmentPropagate \
        --python-script $PWD/Testing/Harness/tools/run_in_slicer.py SegmentPropagate OUT

Writes OUT/result.txt (PASS, or a traceback), OUT/panel.png, and OUT/api.txt: classes and signals of the real widgets,
to compare the stand-ins with.
"""

import sys
import traceback
from pathlib import Path

import qt
import slicer


def run(name, out):
    """Panel, self test, picture, API."""
    panel = getattr(slicer.modules, name.lower()).widgetRepresentation()
    if slicer.util.mainWindow():
        slicer.util.selectModule(name)
    panel.resize(430, 1000)
    panel.show()
    slicer.app.processEvents()
    slicer.selfTests[name]()
    slicer.app.processEvents()
    panel.grab().save(str(out / "panel.png"))
    if slicer.util.mainWindow():
        slicer.util.mainWindow().grab().save(str(out / "window.png"))
    (out / "api.txt").write_text("\n".join(map(describe, slicer.util.findChildren(panel))))


def describe(widget):
    """Class, name and signals of a widget."""
    meta = widget.metaObject()
    methods = [meta.method(index) for index in range(meta.methodCount())]
    signals = sorted(str(m.methodSignature()) for m in methods if m.methodType() == qt.QMetaMethod.Signal)
    return f"{widget.className()} {widget.name} {signals}"


if __name__ == "__main__":
    folder = Path(sys.argv[-1])
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run(sys.argv[-2], folder)
        verdict = "PASS"
    except Exception:  # noqa: BLE001  the verdict must be written whatever happens
        verdict = traceback.format_exc()
    (folder / "result.txt").write_text(verdict)
    print(verdict)
    slicer.util.exit(0 if verdict == "PASS" else 1)
