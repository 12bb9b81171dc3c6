"""The part of ``ctk`` that the module uses (stand-ins)."""

from slicer_harness.ctk_widgets import *  # noqa: F403
from slicer_harness.panel import placeholder_for

__getattr__ = placeholder_for("ctk", ("ctk",))
