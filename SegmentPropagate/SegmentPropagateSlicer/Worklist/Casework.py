"""The case of a worklist that is open: loaded into the scene, saved beside its image, and what others saved kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import slicer
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import PathLike, replacing
from SegmentPropagateLib.formats.cases import Case
from SegmentPropagateLib.formats.worklist import WorkCase, Worklist, second_name, stamp_of
from SegmentPropagateLib.project.listing import ProjectWorklist, project_at
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateSlicer.Scene.Labelmaps import LABELMAP, segmentOf
from SegmentPropagateSlicer.Scene.SegmentationCopy import copyOf, noteFailure, noteFile
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Worklist.Segments import (
    REFERENCE,
    namelessSegments,
    newSegmentation,
    nextSegment,
    segmentationOf,
)

Nodes = tuple["slicer.vtkMRMLScalarVolumeNode", "slicer.vtkMRMLSegmentationNode"]


class Saving:
    """The open case on its way into its file.

    Args:
        name: of the case.
        segmentation: what it holds now is what is written.
        target: the file.
        sentence: to be told when it is written.
        changes: of the case's entry in the list.
    """

    def __init__(
        self,
        name: str,
        segmentation: slicer.vtkMRMLSegmentationNode,
        target: Path,
        sentence: str,
        changes: Mapping[str, Any],
    ) -> None:
        self.name, self.target, self.sentence, self.changes = name, target, sentence, changes
        self.content = _contentOf(segmentation)
        self._segmentation, self._copy = segmentation, copyOf(segmentation)
        unknown = _("'{file}' could not be saved: look into Slicer's log for the reason.").format(file=target)
        self._error: InputError | None = InputError(unknown)  # until it is written

    @property
    def needsSlicer(self) -> bool:
        """Whether only Slicer can write it, in its main thread."""
        return self._copy is None

    def write(self) -> None:
        """Write the file; what goes wrong is told by `finish`."""
        try:
            if self._copy is None:
                _write(self._segmentation, self.target)
            else:
                self._copy.write(self.target)
            self._error = None
        except InputError as error:
            self._error = error

    def finish(self) -> None:
        """In the main thread, when it is written: tell Slicer, and raise InputError where it could not be."""
        if self._error is not None:
            noteFailure(self._segmentation)
            raise self._error
        noteFile(self._segmentation, self.target)


class Casework:
    """A `Worklist` and its open case; one case is in the scene at a time.

    Signals: `changed()` when the list, a state or the open case is another.
    """

    def __init__(self) -> None:
        self.changed = Signal()
        self.worklist: Worklist | None = None
        self.name: str | None = None  # of the open case
        self.nodes: Nodes | None = None  # of the open case
        self._ofScene: dict[str, str] = {}  # case -> ID of its image, which was in the scene
        self._stays: set[str] = set()  # IDs of what was in the scene before the list
        self._stamp: tuple[int, int] | None = None  # of the result when it was read or written last
        self._saved: object = None  # what the segmentation held then

    # ---- the list -----------------------------------------------------------------------------------------------

    def useSource(self, source: PathLike, results: PathLike | None = None) -> None:
        """Take the cases of a project, or the images of a folder or of a list; see `Worklist.of`."""
        project = project_at(source)
        self._use(Worklist.of(source, results) if project is None else ProjectWorklist(project), {})

    def useScene(self, volumes: Sequence[slicer.vtkMRMLScalarVolumeNode], results: PathLike) -> None:
        """Take volumes of the scene; those that were not loaded from a file are saved beside their results.

        Raises:
            InputError: there is none, two have one name, or another image was saved under the name of one.
        """
        known: dict[str, slicer.vtkMRMLScalarVolumeNode] = {}
        for node in volumes:
            if known.setdefault(_fileName(node.GetName()), node) is not node:
                text = _("Two images of the scene are called '{name}': give them different names.")
                raise InputError(text.format(name=_fileName(node.GetName())))
        if not known:
            raise InputError(_("The scene has no image: load some, or choose a folder."))
        cases = [Case(name, _imageOf(node, _imageIn(results, name)), _resultIn(results, name))
                 for name, node in sorted(known.items())]  # fmt: skip
        self._use(Worklist(cases, results, results), {name: node.GetID() for name, node in known.items()})
        segmentations = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        self._stays = {node.GetID() for node in (*known.values(), *segmentations)}

    def _use(self, worklist: Worklist, ofScene: dict[str, str]) -> None:
        self.worklist, self._ofScene, self._stays = worklist, ofScene, set()
        self.name = self.nodes = self._stamp = None
        self.changed.emit()

    @property
    def project(self) -> ProjectWorklist | None:
        """The list, where it is a project's."""
        return self.worklist if isinstance(self.worklist, ProjectWorklist) else None

    @property
    def case(self) -> WorkCase | None:
        """The open case, or None."""
        return self.worklist.case(self.name) if self.worklist is not None else None

    def next(self) -> WorkCase | None:
        """The next case that is not done; None where all are."""
        return self._list().next(self.name)

    def previous(self) -> WorkCase | None:
        """The case before the open one; None before the first."""
        return self._list().previous(self.name)

    def finishedFiles(self) -> tuple[tuple[str, str], ...] | None:
        """Image and labels of every case that is done, but for the open one; None without a list."""
        if self.worklist is None:
            return None
        done = [case for case in self.worklist.finished() if case.name != self.name]
        return tuple((str(case.image.absolute()), str(case.labels.absolute())) for case in done)

    # ---- the open case ------------------------------------------------------------------------------------------

    def load(self, case: WorkCase, template: Sequence[SegmentInfo]) -> Nodes:
        """Bring a case into the scene; nothing else changes until `open`.

        Args:
            case: one of the list.
            template: what segments a case has that has no labels yet.

        Raises:
            InputError: a file cannot be loaded; the scene is as before.
        """
        known = slicer.mrmlScene.GetNodeByID(self._ofScene.get(case.name, ""))
        volume = cast("slicer.vtkMRMLScalarVolumeNode", known) if known is not None else _loadImage(case)
        try:
            own = segmentationOf(volume) if case.name in self._ofScene else None
            if own is not None and case.draft in (None, _fileOf(own)):  # else what was saved goes on, hers stays aside
                return volume, _prepared(own, template)
            return volume, _loadLabels(case, volume) if case.draft else newSegmentation(volume, case.name, template)
        except InputError:
            if case.name not in self._ofScene:
                slicer.mrmlScene.RemoveNode(volume)
            raise

    def open(self, case: WorkCase, nodes: Nodes) -> None:
        """Take a case that was loaded as the one that is worked on."""
        self.name, self.nodes, self._stamp, self._saved = case.name, nodes, stamp_of(case.labels), _contentOf(nodes[1])
        self._showAlone(nodes[1])
        self._list().open(case.name)
        self.changed.emit()

    def _showAlone(self, segmentation: slicer.vtkMRMLSegmentationNode) -> None:
        """Images of the scene may lie in one place: hide what belongs to those that are not open."""
        for imageId in self._ofScene.values():
            for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
                if node.GetNodeReferenceID(REFERENCE) == imageId and node.GetDisplayNode() is not None:
                    node.GetDisplayNode().SetVisibility(node is segmentation)

    def close(self) -> None:
        """Take the open case out of the scene; what was in the scene before the list stays."""
        for node in self.nodes or ():
            if node.GetID() not in self._stays and slicer.mrmlScene.IsNodePresent(node):
                slicer.mrmlScene.RemoveNode(node)
        self.forget()

    def forget(self) -> None:
        """The open case has left the scene."""
        self.name = self.nodes = self._stamp = None
        self.changed.emit()

    def follow(
        self,
        volume: slicer.vtkMRMLScalarVolumeNode | None,
        segmentation: slicer.vtkMRMLSegmentationNode | None,
    ) -> None:
        """Where she has gone on to another segmentation of the open image, that one is the result."""
        if self.nodes is not None and volume is self.nodes[0] and segmentation is not None:
            self.nodes = volume, segmentation

    @property
    def isUnsaved(self) -> bool:
        """Whether the segmentation of the open case has changed since it was opened or saved."""
        nodes = self._present()
        return nodes is not None and _contentOf(nodes[1]) != self._saved

    def _present(self) -> Nodes | None:
        """The open nodes, unless somebody has taken them out of the scene."""
        nodes = self.nodes
        return nodes if nodes and all(slicer.mrmlScene.IsNodePresent(node) for node in nodes) else None

    def save(self, state: str | None = None, kept: Mapping[str, Any] | None = None) -> str:
        """Write the segmentation of the open case, and its state.

        Args:
            state: one of `worklist.STATES`; None leaves it.
            kept: what is to be found again with the case; None leaves it.

        Returns:
            str: a sentence where another program has written the file meanwhile and both are kept; else empty.

        Raises:
            InputError: nothing is open, or a file cannot be written; the older one is as it was.
        """
        saving = self.saving(state, kept)
        saving.write()
        return self.saved(saving)

    def saving(self, state: str | None = None, kept: Mapping[str, Any] | None = None) -> Saving:
        """Take what `save` would write; its `write` may be called in a thread, and `saved` has to follow."""
        case, nodes = self.case, self._present()
        if case is None or nodes is None:
            raise InputError(_("Open a case of the worklist first."))
        target, sentence = case.labels, ""
        if stamp_of(target) != self._stamp:
            target = second_name(target)
            text = _("'{file}' was changed by another program: it is kept, yours is saved as '{name}'.")
            sentence = text.format(file=case.labels.name, name=target.name)
        volume, segmentation = nodes
        if not case.image.exists():
            _write(volume, case.image)
        target.parent.mkdir(parents=True, exist_ok=True)
        changes = {"state": state, "kept": kept, "labels": target}
        told = {name: value for name, value in changes.items() if value is not None}
        return Saving(case.name, segmentation, target, sentence, told)

    def saved(self, saving: Saving) -> str:
        """Note that a case has been written; returns as `save` and raises InputError where it could not be."""
        saving.finish()
        self._stamp, self._saved = stamp_of(saving.target), saving.content
        self._list().note(saving.name, **saving.changes)
        self.changed.emit()
        return saving.sentence

    def note(self, state: str) -> None:
        """Give the open case a state."""
        if self.name is not None:
            self._list().note(self.name, state=state)
            self.changed.emit()

    def _list(self) -> Worklist:
        if self.worklist is None:
            raise InputError(_("Choose a folder, a list or the images of the scene as worklist first."))
        return self.worklist


def _loadImage(case: WorkCase) -> slicer.vtkMRMLScalarVolumeNode:
    image = case.image
    if image.is_dir():  # a DICOM series: any file of it leads to the others
        image = next((path for path in sorted(image.iterdir()) if path.is_file()), image)
    try:
        return slicer.util.loadVolume(str(image), {"name": case.name, "singleFile": not case.image.is_dir()})
    except RuntimeError as error:
        raise InputError(_("'{file}' cannot be loaded as an image.").format(file=case.image)) from error


def _loadLabels(case: WorkCase, volume: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLSegmentationNode:
    try:
        node = slicer.util.loadSegmentation(str(case.draft), {"name": case.name})
    except RuntimeError as error:
        raise InputError(_("'{file}' cannot be loaded as a segmentation.").format(file=case.draft)) from error
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    if node.GetSegmentation().GetNumberOfSegments() == 0:
        node.GetSegmentation().AddEmptySegment()
    return node


def _write(node: slicer.vtkMRMLStorableNode, path: Path) -> None:
    """Have Slicer write a file under another name, which becomes this one when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ending = ".seg.nrrd" if path.name.endswith(".seg.nrrd") else ".nrrd"
    with replacing(path, ending=ending) as part:
        if not slicer.util.saveNode(node, str(part), {}) or not part.is_file():
            raise InputError(_("'{file}' could not be saved: is the disk full?").format(file=path))
    node.GetStorageNode().SetFileName(str(path))


def _contentOf(node: slicer.vtkMRMLSegmentationNode) -> object:
    """What is equal as long as the segments are."""
    segments = [segmentOf(node, segmentId) for segmentId in node.GetSegmentation().GetSegmentIDs()]
    images = [segment.GetRepresentation(LABELMAP) for segment in segments]
    times = [found.GetMTime() if found is not None else 0 for found in (*segments, *images)]
    return node.GetID(), node.GetSegmentation().GetSegmentIDs(), times


def _prepared(node: slicer.vtkMRMLSegmentationNode, template: Sequence[SegmentInfo]) -> slicer.vtkMRMLSegmentationNode:
    """A segmentation of the scene, with a segment to draw in: the first of the template where none has a name yet."""
    node.CreateDefaultDisplayNodes()
    ids = node.GetSegmentation().GetSegmentIDs()
    if not ids or (template and list(ids) == namelessSegments(node)):
        nextSegment(node, "", template)
    return node


def _fileOf(node: slicer.vtkMRMLStorableNode) -> Path | None:
    """The file that a node was loaded from or saved to, where it is still there."""
    storage = node.GetStorageNode()
    path = Path(storage.GetFileName() or "") if storage is not None else Path()
    return path if path.is_file() and storage.GetNumberOfFileNames() == 0 else None


def _imageOf(node: slicer.vtkMRMLScalarVolumeNode, saved: Path) -> Path:
    """The file of an image of the scene: the one it came from, or `saved` beside the results, which may be there.

    Raises:
        InputError: `saved` is another image. Names such as "3: CT Abdomen" come with every patient.
    """
    own = _fileOf(node)
    if not saved.exists() or (own is not None and own.samefile(saved)):
        return own or saved
    if not VolumeReader(node).isIn(saved):
        text = _("'{file}' is another image than '{name}' of the scene: choose another folder for the results.")
        raise InputError(text.format(file=saved, name=node.GetName()))
    return saved


def _fileName(name: str) -> str:
    return "".join("_" if sign in '/\\:*?"<>|' or not sign.isprintable() else sign for sign in name).strip(" .") or "_"


def _imageIn(results: PathLike, name: str) -> Path:
    return Path(results) / f"{name}.nrrd"


def _resultIn(results: PathLike, name: str) -> Path:
    return Path(results) / f"{name}.seg.nrrd"
