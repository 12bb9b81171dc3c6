"""The module's self test: runs in Slicer (Reload and Test, ctest) and on the stand-ins of Testing/Harness."""

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest


class SegmentPropagateTest(ScriptedLoadableModuleTest):
    """From a drawn volume to an accepted segment, without torch."""

    def setUp(self):
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        """Run every test of the class."""
        for name in sorted(name for name in dir(self) if name.startswith("test_")):
            self.setUp()
            getattr(self, name)()
