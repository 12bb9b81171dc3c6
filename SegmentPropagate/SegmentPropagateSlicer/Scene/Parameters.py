"""What the user chose, kept in the module's parameter node so that it is saved with the scene."""

import json

from SegmentPropagateSlicer.Values.Key import Key
from SegmentPropagateSlicer.Values.RunSettings import RunSettings

ALL_VISIBLE = "*"
"""Value of `Parameters.segment` for all visible segments in one pass."""


class Text:
    """A parameter of text; anything but the `choices`, where there are some, reads as the default."""

    def __init__(self, default="", choices=None):
        self.default, self.choices = default, choices

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, parameters, owner=None):
        if parameters is None:
            return self
        text = parameters.node.GetParameter(self.name) if parameters.node else ""
        return text if text and (self.choices is None or text in self.choices) else self.default

    def __set__(self, parameters, value):
        if parameters.node and value != self.__get__(parameters):
            parameters.node.SetParameter(self.name, value)


class Whole(Text):
    """A parameter that is a whole number, or None."""

    def __init__(self, default=None):
        Text.__init__(self, default)

    def __get__(self, parameters, owner=None):
        text = Text.__get__(self, parameters, owner)
        try:
            return int(text)
        except (TypeError, ValueError):
            return text if text is self else self.default

    def __set__(self, parameters, value):
        if parameters.node and value != self.__get__(parameters):
            parameters.node.SetParameter(self.name, "" if value is None else str(int(value)))


class Node:
    """A parameter that is another node of the scene, or None."""

    def __set_name__(self, owner, name):
        self.role = name

    def __get__(self, parameters, owner=None):
        if parameters is None:
            return self
        return parameters.node.GetNodeReference(self.role) if parameters.node else None

    def __set__(self, parameters, value):
        if parameters.node and value is not self.__get__(parameters):
            parameters.node.SetNodeReferenceID(self.role, value.GetID() if value is not None else None)


class Parameters:
    """Typed access to a vtkMRMLScriptedModuleNode; without a node everything has its default and cannot be set.

    Args:
        node: the parameter node, or None.
    """

    volume = Node()
    segmentation = Node()
    box = Node()
    positivePoints = Node()
    negativePoints = Node()

    segment = Text()  # segment ID, or ALL_VISIBLE
    reviewSegment = Text()  # segment ID whose slices the drift strip shows, of several
    view = Text("Red")  # name of the slice view that the user outlines in
    promptMode = Text("paint", ("paint", "box", "points"))

    model = Text("classical")
    device = Text("auto")
    precision = Text("auto", ("auto", "exact", "bf16"))
    imageSize = Whole()
    shortSlices = Whole()
    passMode = Text("independent", ("independent", "coupled"))
    roi = Text("auto", ("auto", "off"))
    stopAfterEmpty = Whole()
    intensity = Text("auto")

    _keys = Text("[]")
    _ranges = Text("[]")

    def __init__(self, node=None):
        self.node = node

    @property
    def keys(self):
        """The key slices as a tuple of `Key`; entries that cannot be read are left out."""
        try:
            return tuple(Key(**entry) for entry in json.loads(self._keys))
        except (TypeError, ValueError):
            return ()

    @keys.setter
    def keys(self, keys):
        self._keys = json.dumps([vars(key) for key in keys])

    def rangeOf(self, segment, plane):
        """`(first, last)` slice that the user gave for a segment, or ALL_VISIBLE, along a plane; None where not."""
        return self._readRanges().get((segment, plane), (None, None))

    def giveRange(self, segment, plane, first, last):
        """Remember what `rangeOf` returns."""
        ranges = {**self._readRanges(), (segment, plane): (first, last)}
        self._ranges = json.dumps([[*place, *ends] for place, ends in ranges.items()])

    def forgetRanges(self):
        """Of all segments and planes."""
        self._ranges = "[]"

    def _readRanges(self):
        try:
            return {(segment, plane): (first, last) for segment, plane, first, last in json.loads(self._ranges)}
        except (TypeError, ValueError):
            return {}

    def runSettings(self, plane):
        """The choices of the Model section as `RunSettings` for runs along that plane."""
        return RunSettings(
            model=self.model,
            device=self.device,
            precision=self.precision,
            imageSize=self.imageSize,
            plane=plane,
            intensity=self.intensity,
            roi=self.roi,
            passMode=self.passMode,
            shortSlices=self.shortSlices,
            stopAfterEmpty=self.stopAfterEmpty,
        )
