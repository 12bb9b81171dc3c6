"""Real MRML application core: scene, application logic, module logics, ``slicer.modules``."""

import gc
import os
import tempfile
from types import SimpleNamespace


class ModuleProxy:
    """What ``slicer.modules.<name>`` is: ``.logic()``, ``.path``, ``.widgetRepresentation()``."""

    def __init__(self, name, logic=None, path=""):
        self.name, self.path, self._logic, self.title = name, path, logic, name
        self.panel = None
        self.dependencies, self.categories, self.contributors = [], [], []
        self.helpText = self.acknowledgementText = ""

    def logic(self):
        return self._logic

    def widgetRepresentation(self):
        return self.panel


ORIENTATIONS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}  # of the views of the default layout

# attribute of slicer.modules -> (logic class, name under which the application logic knows it)
LOGICS = {
    "volumes": ("vtkSlicerVolumesLogic", "Volumes"),
    "segmentations": ("vtkSlicerSegmentationsModuleLogic", "Segmentations"),
    "subjecthierarchy": ("vtkSlicerSubjectHierarchyModuleLogic", "SubjectHierarchy"),
    "markups": ("vtkSlicerMarkupsLogic", "Markups"),
    "cropvolume": ("vtkSlicerCropVolumeLogic", "CropVolume"),
    "transforms": ("vtkSlicerTransformLogic", "Transforms"),
    "models": ("vtkSlicerModelsLogic", "Models"),
    "sequences": ("vtkSlicerSequencesLogic", "Sequences"),
}


def bootstrap():
    """Create the scene and the logics; idempotent. Returns the ``slicer`` module."""
    import slicer
    import vtk

    if getattr(slicer, "mrmlScene", None) is not None:
        return slicer

    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    cache = tempfile.mkdtemp(prefix="slicer-harness-")

    app_logic = slicer.vtkSlicerApplicationLogic()
    app_logic.SetTemporaryPath(cache)
    app_logic.SetMRMLScene(scene)  # creates selection, interaction and other singleton nodes
    app_logic.SetSliceLogics(vtk.vtkCollection())
    app_logic.SetViewLogics(vtk.vtkCollection())

    colors = slicer.vtkMRMLColorLogic()
    colors.SetMRMLScene(scene)  # adds the default colour nodes
    app_logic.SetModuleLogic("Colors", colors)

    # remote I/O: without it vtkMRMLScene.ReadFromMRB fails ("cannot retrieve remote cache directory")
    cache_manager = slicer.vtkCacheManager()
    cache_manager.SetRemoteCacheDirectory(cache)
    io_manager = slicer.vtkDataIOManager()
    io_manager.SetCacheManager(cache_manager)
    scene.SetCacheManager(cache_manager)
    scene.SetDataIOManager(io_manager)

    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)

    slicer.modules = _modules(slicer, app_logic, scene)
    slicer.harness = SimpleNamespace(
        appLogic=app_logic,
        keep=[colors, cache_manager, io_manager],
        sliceLogics=_slice_views(slicer, app_logic),
        slotErrors=[],
    )
    slicer.app = CoreApp(cache)
    _auto_subject_hierarchy(slicer, scene)
    return slicer


def _modules(slicer, app_logic, scene):
    """The logics that this slicer-core has, as `slicer.modules` offers them."""
    modules = SimpleNamespace()
    for attribute, (class_name, logic_name) in LOGICS.items():
        cls = getattr(slicer, class_name, None)
        if cls is None:
            continue
        logic = cls()
        logic.SetMRMLApplicationLogic(app_logic)
        logic.SetMRMLScene(scene)
        app_logic.SetModuleLogic(logic_name, logic)
        setattr(modules, attribute, ModuleProxy(logic_name, logic))
    return modules


def _slice_views(slicer, app_logic):
    """Red, Green and Yellow of the default layout, as far as MRML goes: slice logic, node, composite node."""
    logics = {}
    for name, orientation in ORIENTATIONS.items():
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(app_logic)
        logic.SetMRMLScene(slicer.mrmlScene)
        node = logic.AddSliceNode(name)
        node.SetOrientation(orientation)
        node.SetDimensions(400, 400, 1)
        app_logic.GetSliceLogics().AddItem(logic)
        logics[name] = logic
    return logics


def _auto_subject_hierarchy(slicer, scene):
    """In Slicer a Qt plugin gives data nodes subject hierarchy items and removes them; here observers do."""
    import vtk

    def added(_caller, _event, node):
        sh = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        wanted = ("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLMarkupsNode", "vtkMRMLModelNode")
        shown = not node.GetHideFromEditors() and any(node.IsA(w) for w in wanted)
        if sh and shown and not sh.GetItemByDataNode(node):
            sh.CreateItem(sh.GetSceneItemID(), node)

    def about_to_be_removed(_caller, _event, node):
        sh = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        item = sh.GetItemByDataNode(node) if sh and not node.IsA("vtkMRMLSubjectHierarchyNode") else 0
        if item:
            sh.RemoveItem(item, False, False)

    added.CallDataType = about_to_be_removed.CallDataType = vtk.VTK_OBJECT
    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added)
    scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, about_to_be_removed)


def clear_scene():
    """Between tests: like File > Close Scene, and the views turned back."""
    import slicer

    slicer.mrmlScene.Clear(False)
    for name, logic in slicer.harness.sliceLogics.items():
        logic.GetSliceNode().SetOrientation(ORIENTATIONS[name])
    gc.collect()


class LayoutManager:
    """The logics of the slice views, so that `setSliceViewerLayers` moves these to an image; no widget is shown."""

    def mrmlSliceLogics(self):
        import slicer

        return slicer.harness.appLogic.GetSliceLogics()

    def sliceViewNames(self):
        return []


class CoreIOManager:
    """Behind slicer.util.loadVolume, loadLabelVolume, loadSegmentation and saveNode."""

    SUFFIXES = {".seg.nrrd": "SegmentationFile", ".nrrd": "VolumeFile", ".nhdr": "VolumeFile", ".nii": "VolumeFile",
                ".nii.gz": "VolumeFile", ".mha": "VolumeFile", ".dcm": "VolumeFile"}  # fmt: skip

    def fileType(self, filename):
        return next((t for suffix, t in self.SUFFIXES.items() if str(filename).endswith(suffix)), "NoFile")

    def fileWriterFileType(self, node):
        return node.GetClassName()

    def loadNodes(self, file_type, properties, collection=None, messages=None):
        loaders = {"VolumeFile": self._load_volume, "SegmentationFile": self._load_segmentation}
        if file_type not in loaders:
            raise NotImplementedError(f"the harness cannot load {file_type}")
        node = loaders[file_type](properties["fileName"], properties)
        if node is not None and collection is not None:
            collection.AddItem(node)
        return node is not None

    def saveNodes(self, file_type, properties, messages=None):
        import slicer

        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if not node.GetStorageNode():
            node.AddDefaultStorageNode()
        storage = node.GetStorageNode()
        storage.SetFileName(os.fspath(properties["fileName"]))
        storage.SetUseCompression(int(properties.get("useCompression", 1)))
        return bool(storage.WriteData(node))

    def _load_volume(self, path, properties):
        import slicer

        name = properties.get("name") or os.path.basename(path).split(".")[0]
        options = (1 if properties.get("labelmap") else 0) | (4 if properties.get("singleFile") else 0)
        return slicer.modules.volumes.logic().AddArchetypeVolume(path, name, options) if os.path.exists(path) else None

    def _load_segmentation(self, path, properties):
        import slicer

        name = properties.get("name") or os.path.basename(path).split(".")[0]
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
        storage.SetFileName(path)
        if not storage.ReadData(node):
            slicer.mrmlScene.RemoveNode(storage)
            slicer.mrmlScene.RemoveNode(node)
            return None
        node.CreateDefaultDisplayNodes()
        node.SetAndObserveStorageNodeID(storage.GetID())
        return node


class CoreApp:
    """The part of ``slicer.app`` that needs no Qt."""

    applicationName, majorVersion, minorVersion, applicationVersion = "Slicer", 5, 13, "5.13.0-harness"

    def __init__(self, folder):
        self.temporaryPath = self.slicerHome = folder
        self._io = CoreIOManager()

    def coreIOManager(self):
        return self._io

    ioManager = coreIOManager

    def applicationLogic(self):
        import slicer

        return slicer.harness.appLogic

    def mrmlScene(self):
        import slicer

        return slicer.mrmlScene

    def processEvents(self, *_):
        pass

    def testingEnabled(self):
        return True

    def layoutManager(self):
        return LayoutManager()

    def mainWindow(self):
        return None

    def pauseRender(self):
        pass

    def resumeRender(self):
        pass

    def translate(self, _context, text):
        return text

    def startupEnvironment(self):
        return dict(os.environ)
