"""What the user chose, kept in the module's parameter node so that it is saved with the scene."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from SegmentPropagateLib.formats.templates import template_of_json
from SegmentPropagateSlicer.Values.Key import Key
from SegmentPropagateSlicer.Values.RunSettings import RunSettings

if TYPE_CHECKING:
    from slicer import (
        vtkMRMLMarkupsFiducialNode,
        vtkMRMLMarkupsLineNode,
        vtkMRMLMarkupsROINode,
        vtkMRMLNode,
        vtkMRMLScalarVolumeNode,
        vtkMRMLScriptedModuleNode,
        vtkMRMLSegmentationNode,
    )

    from SegmentPropagateLib.volumes.labels import SegmentInfo

ALL_VISIBLE = "*"
"""Value of `Parameters.segment` for all visible segments in one pass."""


Inputs = tuple["vtkMRMLScalarVolumeNode | None", "vtkMRMLSegmentationNode | None"]
Value = TypeVar("Value")
SceneNode = TypeVar("SceneNode", bound="vtkMRMLNode")


class Stored(ABC, Generic[Value]):
    """A parameter kept as text; without text, or with one that cannot be read, it has its default.

    Args:
        default: the value where there is none.
    """

    def __init__(self, default: Value) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @abstractmethod
    def read(self, text: str) -> Value:
        """The value that a text of at least one character stands for."""

    @abstractmethod
    def write(self, value: Value) -> str:
        """What `read` reads."""

    def __get__(self, parameters: Parameters, owner: type | None = None) -> Value:
        text = parameters.node.GetParameter(self.name) if parameters.node else ""
        return self.read(text) if text else self.default

    def __set__(self, parameters: Parameters, value: Value) -> None:
        if parameters.node and value != self.__get__(parameters):
            parameters.node.SetParameter(self.name, self.write(value))


class Text(Stored[str]):
    """A parameter of text; anything but the `choices`, where there are some, reads as the default."""

    def __init__(self, default: str = "", choices: tuple[str, ...] = ()) -> None:
        Stored.__init__(self, default)
        self.choices = choices

    def read(self, text: str) -> str:
        """The text itself."""
        return text if not self.choices or text in self.choices else self.default

    def write(self, value: str) -> str:
        """The text itself."""
        return value


class Whole(Stored["int | None"]):
    """A parameter that is a whole number, or None."""

    def __init__(self, default: int | None = None) -> None:
        Stored.__init__(self, default)

    def read(self, text: str) -> int | None:
        """Decimal digits."""
        try:
            return int(text)
        except ValueError:
            return self.default

    def write(self, value: int | None) -> str:
        """Decimal digits; nothing for None."""
        return "" if value is None else str(int(value))


class Node(Generic[SceneNode]):
    """A parameter that is another node of the scene, or None."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.role = name

    def __get__(self, parameters: Parameters, owner: type | None = None) -> SceneNode | None:
        node = parameters.node.GetNodeReference(self.role) if parameters.node else None
        return cast("SceneNode | None", node)

    def __set__(self, parameters: Parameters, value: SceneNode | None) -> None:
        if parameters.node and value is not self.__get__(parameters):
            parameters.node.SetNodeReferenceID(self.role, value.GetID() if value is not None else None)


class Parameters:
    """Typed access to a vtkMRMLScriptedModuleNode; without a node everything has its default and cannot be set.

    Args:
        node: the parameter node, or None.
    """

    volume: Node[vtkMRMLScalarVolumeNode] = Node()
    segmentation: Node[vtkMRMLSegmentationNode] = Node()
    box: Node[vtkMRMLMarkupsROINode] = Node()
    line: Node[vtkMRMLMarkupsLineNode] = Node()
    positivePoints: Node[vtkMRMLMarkupsFiducialNode] = Node()
    negativePoints: Node[vtkMRMLMarkupsFiducialNode] = Node()

    segment = Text()  # segment ID, or ALL_VISIBLE
    view = Text("Red")  # name of the slice view that the user outlines in
    promptMode = Text("paint", ("paint", "box", "line", "points", "suggest"))

    model = Text("classical")
    device = Text("auto")
    precision = Text("auto", ("auto", "exact", "bf16"))
    imageSize = Whole()
    shortSlices = Whole()
    passMode = Text("independent", ("independent", "coupled"))
    roi = Text("auto", ("auto", "off"))
    stopAfterEmpty = Whole()
    intensity = Text("auto")
    adapt = Text("off", ("off", "stack"))

    templateName = Text()  # path of a template, or where it comes from
    template = Text("[]")  # as `template_as_json` writes it

    _keys = Text("[]")
    _ranges = Text("[]")
    _aside = Text("{}")  # keys and ranges of other images and segmentations

    def __init__(self, node: vtkMRMLScriptedModuleNode | None = None) -> None:
        self.node = node

    @classmethod
    def wholeNumbers(cls) -> tuple[str, ...]:
        """Names of the parameters that are whole numbers; the panel shows each in a spin box of its name."""
        return tuple(name for name, parameter in vars(cls).items() if isinstance(parameter, Whole))

    @property
    def keys(self) -> tuple[Key, ...]:
        """The key slices as a tuple of `Key`; entries that cannot be read are left out."""
        try:
            return tuple(Key(**entry) for entry in json.loads(self._keys))
        except (TypeError, ValueError):
            return ()

    @keys.setter
    def keys(self, keys: Iterable[Key]) -> None:
        self._keys = json.dumps([vars(key) for key in keys])

    @property
    def segments(self) -> tuple[SegmentInfo, ...]:
        """The segments of the template; none without one."""
        return template_of_json(self.template)

    @property
    def kept(self) -> dict[str, str]:
        """Keys, locks and ranges as they are kept with a case."""
        return {"keys": self._keys, "ranges": self._ranges}

    @kept.setter
    def kept(self, kept: Mapping[str, str]) -> None:
        self._keys, self._ranges = (str(kept.get(name, "[]")) for name in ("keys", "ranges"))

    def rangeOf(self, segment: str, plane: str) -> tuple[int | None, int | None]:
        """`(first, last)` slice that the user gave for a segment, or ALL_VISIBLE, along a plane; None where not."""
        return self._readRanges().get((segment, plane), (None, None))

    def giveRange(self, segment: str, plane: str, first: int | None, last: int | None) -> None:
        """Remember what `rangeOf` returns."""
        ranges = {**self._readRanges(), (segment, plane): (first, last)}
        self._ranges = json.dumps([[*place, *ends] for place, ends in ranges.items()])

    def switchInputs(self, before: Inputs, after: Inputs) -> None:
        """Put keys and ranges aside for the image and segmentation they belong to, and take those of the next ones."""
        try:
            aside = dict(json.loads(self._aside))
        except (TypeError, ValueError):
            aside = {}
        if (self._keys, self._ranges) != ("[]", "[]"):
            aside[_nameOf(before)] = [self._keys, self._ranges]
        kept = aside.pop(_nameOf(after), None)
        self._keys, self._ranges = map(str, kept) if isinstance(kept, list) and len(kept) == 2 else ("[]", "[]")
        self._aside = json.dumps(aside)

    def _readRanges(self) -> dict[tuple[str, str], tuple[int | None, int | None]]:
        try:
            return {(segment, plane): (first, last) for segment, plane, first, last in json.loads(self._ranges)}
        except (TypeError, ValueError):
            return {}

    def runSettings(self, plane: str) -> RunSettings:
        """The choices of the Model section as `RunSettings` for runs along that plane."""
        chosen = {field.name: getattr(self, field.name) for field in fields(RunSettings) if field.name != "plane"}
        return RunSettings(plane=plane, **chosen)


def _nameOf(inputs: Inputs) -> str:
    return " ".join(node.GetID() or "" if node is not None else "" for node in inputs)
