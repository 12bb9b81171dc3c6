"""NRRD and MetaImage files written line by line, so that any line can be wrong."""

import numpy as np

VOXELS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
RAW = VOXELS.tobytes()

NRRD = {
    "type": "uchar",
    "dimension": "3",
    "sizes": "4 3 2",
    "encoding": "raw",
    "space": "left-posterior-superior",
    "space directions": "(1,0,0) (0,1,0) (0,0,1)",
    "space origin": "(0,0,0)",
}
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "0 0 0",
    "ElementSpacing": "1 1 1",
    "DimSize": "4 3 2",
    "ElementType": "MET_UCHAR",
    "ElementDataFile": "LOCAL",
}
WITHOUT_PLACE = {"space": None, "space directions": None, "space origin": None}


def write_nrrd(path, changes=(), lines=(), data=RAW):
    """The fields with changes (None leaves one out), other lines, and what follows the header."""
    fields = {**NRRD, **dict(changes)}
    head = ["NRRD0004", *(f"{name}: {value}" for name, value in fields.items() if value is not None), *lines, "", ""]
    path.write_bytes("\n".join(head).encode() + data)
    return path


def write_meta(path, changes=(), lines=(), data=RAW):
    """The same, with `ElementDataFile` as the last line."""
    fields = {**META, **dict(changes)}
    last = fields.pop("ElementDataFile")
    head = [*(f"{name} = {value}" for name, value in fields.items() if value is not None), *lines]
    head += [] if last is None else [f"ElementDataFile = {last}"]
    path.write_bytes("\n".join([*head, ""]).encode() + data)
    return path
