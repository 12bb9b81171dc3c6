"""Right requests and replies, and values that their fields cannot have."""

import math

import numpy as np

from SegmentPropagateLib.worker.fields import LARGEST
from SegmentPropagateLib.worker.protocol import PROTOCOL
from SegmentPropagateLib.worker.replies import (
    Cancelled,
    Done,
    Downloading,
    Failed,
    Inspected,
    Noted,
    Outlined,
    Preparing,
    Remote,
    SliceDone,
    Started,
    Suggested,
    SuggestedKey,
    Suggesting,
    SuggestionsDone,
    Trusted,
    VolumeTaken,
    Welcome,
)
from SegmentPropagateLib.worker.requests import (
    Cancel,
    GetAhead,
    Hello,
    Inspect,
    Propagate,
    Quit,
    Segment,
    Suggest,
    TakeVolume,
    Trust,
)
from SegmentPropagateLib.worker.setup import ModelChoice, SessionChoice, Setup

# 5 axial slices of 6 x 7, 6 coronal ones of 5 x 7, 7 sagittal ones of 5 x 6.
MATRIX = tuple(np.diag([1.0, 1, 2, 1]).ravel().tolist())
SETUP = Setup("v", (5, 6, 7), MATRIX, "CT", ModelChoice("starter", "cuda:1", "bf16", 128), SessionChoice())
MASK = np.zeros((6, 7), bool)
MASK[2:4, 3:6] = True
VOXELS = np.zeros((5, 6, 7), np.int16)

RIGHT_REQUESTS = (
    Hello(),
    TakeVolume("v", VOXELS),
    Inspect("model.pt", 256),
    Segment(SETUP, 3, 4, (0, 0, 6, 5), ((1, 2.5), (3, 4)), (True, False), (2,), np.stack([MASK, MASK])),
    Propagate(SETUP, ((1, 2), (2, 0)), np.stack([MASK, MASK]), 0, None, True, "stack"),
    GetAhead(SETUP, ((1, 2), (2, 0)), np.stack([MASK, MASK]), 0, None),
    Trust(SETUP, (1, 2, 0), np.ones((3, 2, 4), bool)),
    Suggest(SETUP, ("Liver", "Left kidney"), ("/finished",), (("/a.nrrd", "/a.seg.nrrd"),)),
    Cancel(),
    Quit(),
)
RIGHT_REPLIES = (
    Welcome(PROTOCOL, "0.1.0", 77, ("torch",)),
    VolumeTaken("v"),
    Inspected("model.pt", "slm-sam2", "t", 256, 7, "auto", ("1 missing (a)",)),
    Downloading(1 << 20, None),
    Preparing("model"),
    Remote("queued", 2),
    Started(7, "abdomen", ""),
    Outlined.of_mask(3, 4, MASK),
    SliceDone.of_mask(1, 3, MASK, presence=-2.5, predicted_iou=0.75, done=4),
    Done(7, 1.5, 300.0, {"model": "starter"}, ((1, "Learned."),)),
    Noted(),
    Trusted((1, 3), (2,)),
    Suggesting(3, 7),
    Suggested.of_mask(
        *(1, 3, MASK),
        name="Liver",
        color_rgb=(0.8, 0.5, 0),
        status="unsure",
        first=2,
        last=4,
        confidence=0.5,
        reason="?",
    ),
    SuggestedKey.of_mask(1, 4, MASK),
    SuggestionsDone(2, 1.5, 300.0),
    Cancelled(),
    Failed("input", "Choose something else."),
)

NO_TEXT = (None, 3, True, ["a"], "", " ")
NO_INDEX = (None, "3", 2.5, True, -1, LARGEST + 1, [1])
NO_COUNT = (*NO_INDEX, 0)
NO_NUMBER = ("3", True, math.nan, math.inf, -math.inf, [1.0])
NO_ARRAY = (None, np.zeros((6, 7), np.uint8), np.zeros(3, bool), np.zeros((1, 2, 3, 4), bool))

# field, or path within it -> values that it cannot have
OF_SETUP = {
    "setup": (None, [], "v"),
    "setup.volume": NO_TEXT,
    "setup.shape_kji": (None, 5, [5, 6], [5, 6, 0], [5, 6, True], [5, 6, "7"]),
    "setup.ijk_to_ras": (None, MATRIX[:15], [0.0] * 16, [math.nan, *MATRIX[1:]], ["1", *MATRIX[1:]]),
    "setup.modality": (3, "", ["CT"]),
    "setup.model": (None, "starter"),
    "setup.model.name": NO_TEXT,
    "setup.model.device": NO_TEXT,
    "setup.model.precision": (None, "double", "", 16, ["bf16"]),
    "setup.model.image_size": ("128", 0, -128, 12.5, True),
    "setup.session": (None, {}, "axial"),
    "setup.session.plane": (None, "diagonal", 0, ["axial"]),
    "setup.session.intensity": (None, "liver", 0),
    "setup.session.settings": (None, {}, "auto"),
    "setup.session.settings.roi": (None, "on", True),
    "setup.session.settings.pass_mode": (None, "both", 1),
    "setup.session.settings.short_slices": ("7", 0, -1, 1.5, True),
    "setup.session.settings.stop_after_empty": ("3", 0, -1, 1.5, True),
    "setup.session.settings.memory": (None, "sam4", 2, ["sam3"]),
    "setup.session.settings.looks_twice": (None, 1, "yes", [True]),
}
OF_KEYS = {
    **OF_SETUP,
    "keys": (None, [], [[1, 2], [1, 2]], [[0, 2], [2, 0]], [[1, 5], [2, 0]], [[1], [2]], [[1, True]] * 2),
    "masks": (*NO_ARRAY, np.zeros((2, 7, 6), bool), np.zeros((1, 6, 7), bool), np.zeros((2, 6, 7))),
    "first": ("0", -1, 5, 1.0, True),
    "last": ("0", -1, 5, 1.0, True),
}
OF_SLICE = {
    "object_id": NO_COUNT,
    "slice_index": NO_INDEX,
    "shape": (None, [6], [6, 0], [6, 7, 1], [6, "7"]),
    "origin": (None, [0], [-1, 3], [True, 3]),
    "box": (*NO_ARRAY, np.ones((5, 2), bool), np.ones((2, 7), bool)),  # which reach beyond the slice
}
WRONG = {
    Hello: {"protocol": NO_COUNT},
    TakeVolume: {"volume": NO_TEXT, "voxels": (None, VOXELS[0], VOXELS[:0])},
    Inspect: {"path": NO_TEXT, "image_size": ("256", 0, True)},
    Segment: {
        **OF_SETUP,
        "object_id": NO_COUNT,
        "slice_index": (*NO_INDEX, 5),
        "box_ij": ([0, 0, 6], [0, 0, 6, "5"], [0, 0, 6, math.nan], "0,0,6,5", 3),
        "points_ij": (None, [1, 2], [[1, 2, 3], [1, 2]], [["1", 2], [3, 4]], [[math.inf, 2], [3, 4]]),
        "positive": (None, [1, 0], [True], [True, False, True], "10"),
        "outlined": (None, 2, [5], [-1], ["2"]),
        "masks": (*NO_ARRAY, np.zeros((2, 7, 6), bool), np.zeros((0, 6, 7), bool), np.zeros((2, 6, 7))),
    },
    GetAhead: OF_KEYS,
    Propagate: {**OF_KEYS, "resolve_overlaps": (None, 1, "true"), "adapt": (None, "learn", True)},
    Welcome: {"protocol": NO_COUNT, "version": NO_TEXT, "pid": NO_COUNT, "missing": (None, "torch", [1], [""])},
    VolumeTaken: {"volume": NO_TEXT},
    Inspected: {
        "path": NO_TEXT,
        "family": NO_TEXT,
        "variant": NO_TEXT,
        "image_size": NO_COUNT,
        "short_slices": NO_INDEX,
        "intensity": NO_TEXT,
        "problems": (None, "all", [None]),
    },
    Downloading: {"bytes_done": (None, "3", True, -1, 1 << 60), "bytes_total": ("3", True, -1, 1 << 60)},
    Preparing: {"what": (None, "download", 1)},
    Started: {"total": NO_INDEX, "preset": (None, "liver", 1), "note": (None, 3)},
    Outlined: OF_SLICE,
    SliceDone: {
        **OF_SLICE,
        "presence": NO_NUMBER,
        "predicted_iou": (*NO_NUMBER, -0.1, 1.1),
        "done": ("3", -1, 1.5, True),
    },
    Done: {
        "computed": NO_INDEX,
        "seconds": (None, *NO_NUMBER, -1),
        "peak_mib": (*NO_NUMBER, -1),
        "info": (None, [], "starter"),
        "lessons": (None, "Learned.", [[1]], [[0, "Learned."]], [[1, ""]], [["1", "Learned."]]),
    },
    Trust: {
        **OF_SETUP,
        "origin": (None, [1, 2], [1, 2, -1], [1, 2, 0.5], "120"),
        "masks": (*NO_ARRAY, np.zeros((3, 2, 4)), np.zeros((5, 2, 4), bool)),
    },
    Suggest: {
        **OF_SETUP,
        "labels": (None, "Liver", [""], [3], ["Liver", "liver"]),
        "folders": (None, "/finished", [""], [3]),
        "cases": (None, ["/a.nrrd"], [["/a.nrrd"]], [["/a.nrrd", ""]], [["/a.nrrd", 3]]),
    },
    Remote: {"state": (None, "asleep", 1), "ahead": NO_INDEX},
    Trusted: {"trusted": (None, [-1], ["1"], 3), "doubtful": (None, [-1], [1.5], "2")},
    Suggesting: {"done": (*NO_INDEX, 8), "total": NO_COUNT},
    Suggested: {
        **OF_SLICE,
        "box": (*OF_SLICE["box"], np.zeros((2, 3), bool)),
        "name": NO_TEXT,
        "color_rgb": (None, [0, 1], [0, 1, 1.5], [0, 1, math.nan], "red"),
        "status": (None, "sure", 1),
        "first": ("0", -1, 1.5, True, 4),
        "last": ("0", -1, 1.5, True, 2),
        "confidence": (None, *NO_NUMBER, -0.1, 1.1),
        "reason": (None, 3, "two\nlines", "\x1b[2J"),
    },
    SuggestedKey: {**OF_SLICE, "box": (*OF_SLICE["box"], np.zeros((2, 3), bool))},
    SuggestionsDone: {"count": NO_INDEX, "seconds": (None, *NO_NUMBER, -1), "peak_mib": (*NO_NUMBER, -1)},
    Noted: {},
    Cancelled: {},
    Failed: {"kind": (None, "bad luck", 1), "sentence": NO_TEXT},
    Cancel: {},
    Quit: {},
}
RIGHT = {type(content): content for content in (*RIGHT_REQUESTS, *RIGHT_REPLIES)}
