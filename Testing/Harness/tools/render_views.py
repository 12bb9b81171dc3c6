"""Three slice views and a 3-D view of a volume and its segmentation, rendered off-screen without Slicer.

    python render_views.py VOLUME.nrrd SEGMENTATION.seg.nrrd PICTURE.png

Runs where requirements-views.txt is installed. Slice planes, outlines, surfaces, ruler, cube and box come from the MRML
displayable managers, as in Slicer; the bars above the views are Qt widgets there, and drawn here.
"""

import sys
from pathlib import Path

import numpy as np
import vtk
from PIL import Image, ImageDraw, ImageFont
from trame_slicer.core import SlicerApp
from trame_slicer.views import SliceView, ThreeDView
from vtkmodules.util.numpy_support import vtk_to_numpy

TILE, BAR, GAP = (599, 430), 19, 2  # pixels
VIEWS = {"Red": ("Axial", 2, "SI"), "Green": ("Coronal", 1, "AP"), "Yellow": ("Sagittal", 0, "RL")}
COLORS = {"Red": "#f34a33", "Green": "#6eb04b", "Yellow": "#edd54c", "3D": "#7a7fc0"}
OPACITY_FILL = 0.35


def read(scene, kind, path):
    """A node of `vtkMRML<kind>Node`, read as Slicer does."""
    names = {"ScalarVolume": "vtkMRMLVolumeArchetypeStorageNode", "Segmentation": "vtkMRMLSegmentationStorageNode"}
    node, storage = scene.AddNewNodeByClass(f"vtkMRML{kind}Node"), scene.AddNewNodeByClass(names[kind])
    storage.SetFileName(str(path))
    if not storage.ReadData(node):
        raise SystemExit(f"{path} cannot be read")
    node.CreateDefaultDisplayNodes()
    return node


def show_segmentation(segmentation):
    """Translucent on the slices, smooth surfaces in 3-D."""
    display = segmentation.GetDisplayNode()
    display.SetOpacity2DFill(OPACITY_FILL)
    display.SetOpacity2DOutline(1.0)
    display.SetSliceIntersectionThickness(2)
    segmentation.GetSegmentation().SetConversionParameter("Smoothing factor", "0.5")
    segmentation.CreateClosedSurfaceRepresentation()
    display.SetPreferredDisplayRepresentationName3D("Closed surface")


def window(volume):
    """Gray levels from the 1st to the 99.8th percentile."""
    display = volume.GetDisplayNode()
    display.AutoWindowLevelOff()
    voxels = vtk_to_numpy(volume.GetImageData().GetPointData().GetScalars())
    low, high = np.percentile(voxels, [1, 99.8])
    display.SetWindowLevelMinMax(low, high)


def center(segmentation, number):
    """The middle of a segment, RAS in mm."""
    segments = segmentation.GetSegmentation()
    return segmentation.GetSegmentCenterRAS(segments.GetNthSegmentID(min(number, segments.GetNumberOfSegments() - 1)))


def slice_view(app, name, volume):
    """One of the three views, with the volume in it."""
    view = SliceView(scene=app.scene, app_logic=app.app_logic, name=name)
    view.render_window().SetSize(*TILE)
    view.set_orientation(VIEWS[name][0])
    view.set_background_volume_id(volume.GetID())
    view.fit_view_to_content()
    node = view.get_view_node()
    node.SetRulerType(node.RulerTypeThin)
    return view


def go_to(app, view, ras):
    """Show the voxel slice nearest to a point; returns what Slicer writes above it, such as `S: 42.0 mm`."""
    node = view.get_view_node()
    node.JumpSliceByOffsetting(*ras)
    app.app_logic.GetSliceLogic(node).SnapSliceOffsetToIJK()
    orientation, axis, letters = VIEWS[view.name]
    place = node.GetSliceToRAS().GetElement(axis, 3)
    return f"{view.name[0]}   {orientation}   {letters[place < 0]}: {abs(place):.1f} mm"


def three_d_view(app):
    """The surfaces from the front, a little from the left and above."""
    view = ThreeDView(scene=app.scene, app_logic=app.app_logic, name="3D")
    view.render_window().SetSize(*TILE)
    view.fit_view_to_content()
    camera = view.renderer().GetActiveCamera()
    camera.Azimuth(-25)
    camera.Elevation(18)
    camera.OrthogonalizeViewUp()
    camera.Zoom(1.1)
    view.renderer().ResetCameraClippingRange()
    return view


def grab(view):
    """What the view shows, as a picture."""
    view.render_window().Render()
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(view.render_window())
    grabber.ReadFrontBufferOff()
    grabber.Update()
    image = grabber.GetOutput()
    width, height, _depth = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
    return Image.fromarray(np.ascontiguousarray(pixels[::-1, :, :3]))


def framed(tile, name, title):
    """A view below its colored bar."""
    framed = Image.new("RGB", (TILE[0], TILE[1] + BAR), COLORS[name])
    framed.paste(tile, (0, BAR))
    ImageDraw.Draw(framed).text((8, BAR / 2), title, fill="black", anchor="lm", font=ImageFont.load_default(13))
    return framed


def add_legend(tile, segmentation):
    """Names and colors of the segments."""
    pen, font = ImageDraw.Draw(tile), ImageFont.load_default(15)
    segments = segmentation.GetSegmentation()
    for row in range(segments.GetNumberOfSegments()):
        segment, top = segments.GetNthSegment(row), 12 + 22 * row
        color = tuple(round(255 * channel) for channel in segment.GetColor())
        pen.rectangle((12, top, 26, top + 14), fill=color, outline="black")
        pen.text((33, top + 7), segment.GetName(), fill="black", anchor="lm", font=font)


def sheet(tiles):
    """The four views as in Slicer's default layout: axial and 3-D above, coronal and sagittal below."""
    width, height = tiles["Red"].size
    whole = Image.new("RGB", (2 * width + GAP, 2 * height + GAP), "#404040")
    for number, name in enumerate(("Red", "3D", "Green", "Yellow")):
        whole.paste(tiles[name], ((number % 2) * (width + GAP), (number // 2) * (height + GAP)))
    return whole


def main():
    """Read, show, save."""
    vtk.vtkObject.GlobalWarningDisplayOff()  # VTK announces changes to come, once per view
    image, labels, out = map(Path, sys.argv[1:])
    app = SlicerApp()
    volume = read(app.scene, "ScalarVolume", image)
    window(volume)
    views = {name: slice_view(app, name, volume) for name in VIEWS}
    segmentation = read(app.scene, "Segmentation", labels)  # after the views: what comes first is drawn first
    show_segmentation(segmentation)
    number = {"Red": 0, "Green": 0, "Yellow": 1}  # of the segment that the view shows
    titles = {name: go_to(app, view, center(segmentation, number[name])) for name, view in views.items()}
    views["3D"], titles["3D"] = three_d_view(app), "1"
    tiles = {name: grab(view) for name, view in views.items()}
    add_legend(tiles["3D"], segmentation)
    whole = sheet({name: framed(tile, name, titles[name]) for name, tile in tiles.items()})
    whole.point(lambda channel: channel & 0xFE).save(
        out, optimize=True
    )  # the last bit of the noise is a fifth of the file
    print(f"{out}: {out.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
