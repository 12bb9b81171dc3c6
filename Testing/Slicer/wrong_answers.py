"""What a worker should answer to a run of the bench, and everything else that it might answer instead."""

import json
import os
import struct
from pathlib import Path

import numpy as np

from SegmentPropagateLib.worker.messages import Message
from SegmentPropagateLib.worker.protocol import PROTOCOL
from SegmentPropagateLib.worker.replies import Done, Preparing, SliceDone, Started, VolumeTaken, Welcome

LIAR = str(Path(__file__).with_name("lying_worker.py"))
NO_SUCH_PROCESS = (1 << 31) - 1
MISSING = object()
KEY, LAST = 5, 11
NAN, INF = float("nan"), float("inf")
BOX = np.ones((4, 5), bool)


def rightAnswers(volume, truth, before=0):
    """Number of the request -> messages, for hello, the volume and a run from the key slice to the volume's ends.

    Args:
        volume: identity of the voxels.
        truth: the object, bool `(k, j, i)`.
        before: how many requests there were before these.
    """
    slices = [index for index in range(LAST + 1) if index != KEY]
    run = [Preparing("model"), Preparing("session"), Started(len(slices), "none", "")]
    for done, index in enumerate(slices, start=1):
        run.append(SliceDone.of_mask(1, index, truth[index], presence=3.5, predicted_iou=0.75, done=done))
    run.append(Done(len(slices), 1.5, 300.0, {"model": "drawn"}))
    contents = {1: [Welcome(PROTOCOL, "0.1.0", NO_SUCH_PROCESS, ())], 2: [VolumeTaken(volume)], 3: run}
    return {number: [one.to_message(before + number) for one in answers] for number, answers in contents.items()}


def framed(message):
    """The frame of a message, right or wrong."""
    if isinstance(message, bytes):
        return message
    header, payload = dict(message.header), b""
    if message.array is not None:
        described = {"dtype": message.array.dtype.str, "shape": list(message.array.shape)}
        header, payload = {"array": described, **header}, message.array.tobytes()
    head = json.dumps(header).encode()
    return struct.pack("<4sHIQ", b"SPRO", 1, len(head), len(payload)) + head + payload


def write(folder, answers):
    """Let `lying_worker.py` give these answers."""
    for number in (1, 2, 3):
        (folder / str(number)).write_bytes(b"".join(map(framed, answers.get(number, ()))))


# ---- ways to spoil the answers: dict -> dict ------------------------------------------------------------------------


def spoil(word, change):
    """Replace a message of that type by `change(message)`; where there are several, the one in the middle."""

    def spoiled(answers):
        found = {number: list(messages) for number, messages in answers.items()}
        for messages in found.values():
            places = [place for place, message in enumerate(messages) if message.type == word]
            if places:
                middle = places[len(places) // 2]
                messages[middle] = change(messages[middle])
        return found

    return spoiled


def says(word, **fields):
    """Some fields are other ones, or missing."""

    def change(message):
        header = {**message.header, **fields}
        return Message({name: value for name, value in header.items() if value is not MISSING}, message.array)

    return spoil(word, change)


def carries(word, array):
    """Another array, or one where none belongs."""
    return spoil(word, lambda message: Message(message.header, array))


def inBytes(word, change):
    """Other bytes in place of the frame."""
    return spoil(word, lambda message: change(framed(message)))


def course(change, number=3):
    """Other messages, or in another order, in answer to a request; those of the run are P P S 0..10 D."""
    return lambda answers: {**answers, number: change(answers[number])}


def ends(**header):
    """Another message in place of the last one."""
    return course(lambda run: [*run[:-1], Message({"id": run[0].header["id"], **header})])


def prefix(magic=b"SPRO", version=1, header=12, payload=0):
    return struct.pack("<4sHIQ", magic, version, header, payload)


def sliceOf(run, **fields):
    """The last slice of a run with other fields."""
    return Message({**run[-2].header, **fields}, run[-2].array)


SLICE, DONE, START = "slice_done", "done", "started"
# words in the sentence -> ways to deserve it
WRONG = {
    "'slice_done.object_id' must be": [says(SLICE, object_id=value) for value in (2, 0, -1, True, "1", 1.0, None, [1])],
    "'slice_done.object_id' is missing": [says(SLICE, object_id=MISSING)],
    "'slice_done.slice_index' must be": [
        says(SLICE, slice_index=value) for value in (12, -1, 1 << 40, KEY, True, "3", 3.5, None)
    ],
    "'slice_done.shape' must be": [
        says(SLICE, shape=value) for value in ([24, 24], [20, 25], [20], [20, 24, 1], None, "20x24")
    ],
    "'slice_done.shape[1]' must be": [says(SLICE, shape=[20, value]) for value in (0, -1, 24.0, True, None, "24")],
    "'slice_done.shape' is missing": [says(SLICE, shape=MISSING)],
    "'slice_done.origin' must be": [says(SLICE, origin=value) for value in ([0], [0, 0, 0], None, 0)],
    "'slice_done.origin[0]' must be": [says(SLICE, origin=[value, 0]) for value in (-1, 0.5, True, None, "0")],
    "'slice_done.box' must be": [
        *(carries(SLICE, BOX.astype(kind)) for kind in ("u1", "f4", "i8")),
        *(carries(SLICE, array) for array in (None, BOX[0], np.ones((1, 4, 5), bool), np.ones((21, 24), bool))),
        *(says(SLICE, **change) for change in ({"origin": [19, 23]}, {"shape": [24, 20]})),
    ],
    "'slice_done.presence' must be": [says(SLICE, presence="high"), says(SLICE, presence=True)],
    "'slice_done.predicted_iou' must be": [says(SLICE, predicted_iou=value) for value in (1.5, -0.1, "good", True)],
    "'slice_done.done' must be": [
        *(says(SLICE, done=value) for value in (-1, "11", 11.0, True, 1, 10, 12, 1 << 20)),
        course(lambda run: [*run[:5], run[4], *run[5:]]),  # the same slice twice
        course(lambda run: [*run[:4], run[5], run[4], *run[6:]]),
        course(lambda run: [*run[:4], *run[5:]]),
    ],
    "no field 'slice_done.": [says(SLICE, mask=1), says(SLICE, **{"two\nlines\x1b[31m": 1})],
    "header of a message is no JSON": [
        says(SLICE, presence=NAN),
        says(SLICE, predicted_iou=INF),
        says(DONE, seconds=NAN),
        inBytes(SLICE, lambda frame: frame.replace(b'"type"', b"'type'")),
        inBytes(DONE, lambda frame: frame[:-1] + b"!" + frame),
        inBytes(SLICE, lambda _frame: prefix(header=4) + b"\xff\xfe{}"),
        inBytes(SLICE, lambda _frame: prefix(header=9999) + b"[" * 9999),
    ],
    "'id' must be": [says(SLICE, id=value) for value in (None, "3", 3.5, True, -1, [3], MISSING)],
    "There is no open request": [
        says(SLICE, id=0),
        says(SLICE, id=2),
        says(SLICE, id=999),
        says(DONE, id=1),
        course(lambda hello: hello * 2, number=1),
        course(lambda taken: taken * 2, number=2),
    ],
    "is no answer to the request 'propagate'": [
        *(says(SLICE, type=value) for value in ("dance", "", None, 3, ["slice_done"], "x" * 5000, "two\nlines")),
        *(says(SLICE, type=value) for value in ("propagate", "outlined", "welcome")),
    ],
    "is no answer to the request 'take_volume'": [says("volume_taken", type="started")],
    "'volume_taken.volume' must be": [says("volume_taken", volume=value) for value in ("w", "", None, 7)],
    "'welcome' carries an array": [carries("welcome", BOX)],
    "'welcome.pid' must be": [says("welcome", pid=value) for value in (-1, 0, 1, True, "7", None, os.getpid())],
    "worker protocol 99: the panel is older": [says("welcome", protocol=99, news=1)],
    "worker is older": [says("welcome", protocol=MISSING), says("welcome", protocol=0), says("welcome", protocol="1")],
    "'preparing.what' must be": [says("preparing", what="lunch")],
    "'started.total' must be": [says(START, total=value) for value in (12, -1, "11", True, None)],
    "'started.preset' must be": [says(START, preset="liver"), says(START, preset=None)],
    "'started.note' must be": [says(START, note=None), says(START, note="a\nb"), says(START, note="\x1b[31m")],
    "'done.computed' must be": [says(DONE, computed=value) for value in (12, 10, 0, -1, "11", True, None)],
    "'done.seconds' must be": [says(DONE, seconds=value) for value in (-1, "1", None, True)],
    "'done.peak_mib' must be": [says(DONE, peak_mib=-5), says(DONE, peak_mib="much")],
    "'done.info' must be": [says(DONE, info=None), says(DONE, info=[1])],
    "'done' carries an array": [carries(DONE, BOX)],
    "'preparing' comes too late": [course(lambda run: [*run[:4], run[0], *run[4:]])],
    "'started' comes too late": [
        course(lambda run: [*run[:3], *run[2:]]),
        course(lambda run: [*run[:5], run[2], *run[5:]]),
    ],
    "'slice_done' comes before 'started'": [course(lambda run: run[:2] + run[3:]), course(lambda run: run[3:])],
    "'done' comes before 'started'": [course(lambda run: run[-1:])],
    "'done' comes before slice 2 of object 1": [
        course(lambda run: [*run[:5], sliceOf(run, slice_index=3, done=3), *run[6:]]),
    ],
    "was cancelled by nobody": [ends(type="cancelled")],
    "'failed.kind' must be": [ends(type="failed", kind=value, sentence="x") for value in ("luck", "", None, 3)],
    "'failed.sentence' must be": [
        ends(type="failed", kind="input", sentence=text)
        for text in ("", " ", None, 3, "two\nlines", "\ud800", "\x1b[2J")
    ],
    "'failed.sentence' is missing": [ends(type="failed", kind="input")],
    "array of unknown kind": [
        *(says(SLICE, array=value) for value in (None, "two\nlines", {"dtype": "|O8", "shape": [1]})),
        *(says(SLICE, array={"dtype": "|b1", "shape": value}) for value in ([-4, -5], [1 << 40] * 2, [True], None)),
    ],
    "bytes for an array of shape": [says(SLICE, array={"dtype": "|b1", "shape": [30_000, 30_000]})],
    "other than 0 and 1": [
        spoil(SLICE, lambda one: Message({**one.header, "array": {"dtype": "|b1", "shape": [4, 5]}}, BOX * np.uint8(2)))
    ],
    "do not belong together": [inBytes(SLICE, lambda _frame: prefix(header=2, payload=7) + b"{}1234567")],
    "no JSON object": [inBytes(SLICE, lambda _frame: prefix(header=2) + b"[]")],
    "out of bounds": [
        inBytes(SLICE, lambda _frame, sizes=sizes: prefix(**sizes))
        for sizes in ({"header": 0}, {"header": 1 << 20}, {"header": 1 << 31}, {"payload": 1 << 60})
    ],
    "something that is no message": [
        inBytes("welcome", lambda _frame: b"Warning: this is what a library prints\n"),
        inBytes(SLICE, lambda _frame: b"Traceback (most recent call last):\n"),
        inBytes(SLICE, lambda frame: frame[1:]),
    ],
    "version 9 of the messages": [inBytes(SLICE, lambda _frame: prefix(version=9))],
}  # fmt: skip
