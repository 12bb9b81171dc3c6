"""Pictures of *Propagate* in the Segment Editor while its proposal waits, light and dark.

    python screenshot_effect.py FOLDER

The widgets of Slicer are stand-ins (Testing/Harness), so the look of a real Slicer differs in details.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
for folder in ("Testing/Slicer", "Testing/Harness", "SegmentPropagate", "."):
    sys.path.insert(0, str(ROOT / folder))

from screenshot_panel import WIDTH, save
from slicer_harness import mrml, panel


def main():
    """Draw the pictures."""
    slicer = panel.bootstrap(os.environ.get("REAL_SLICER_PYTHON"))
    from bench import Bench
    from effect_fixtures import OpenEffect

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for dark in (False, True):
        mrml.clear_scene()
        panel.use_theme(dark)
        bench = Bench(slicer, key=None)
        effect = OpenEffect(bench)
        effect.draw(5)
        for index, name in ((2, "first"), (9, "last")):
            effect.show(index)
            effect.press(name)
        effect.run()
        options = effect.host.options
        options.show()
        for _pass in range(3):  # layouts settle
            slicer.app.processEvents()
            options.resize(WIDTH, options.sizeHint.height())
        save(options, folder / f"effect-{'dark' if dark else 'light'}.png")
        effect.close()
        bench.close()
    slicer.app.processEvents()
    mrml.clear_scene()


if __name__ == "__main__":
    main()
