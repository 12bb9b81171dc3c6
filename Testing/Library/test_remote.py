"""What both ends of the line to a server have in common: packed arrays, and a stream that outlives its connection."""

import errno
import os
import socket
import sys
import zlib

import numpy as np
import pytest

from SegmentPropagateLib.worker.messages import Decoder, Message, MessageError, encode
from SegmentPropagateLib.worker.remote.address import read_address
from SegmentPropagateLib.worker.remote.http import unreachable
from SegmentPropagateLib.worker.remote.packing import describe, digest, pack_mask, pack_voxels, packings, unpack
from SegmentPropagateLib.worker.remote.stream import PIECE_BYTES, WINDOW_BYTES, Outbox

RANDOM = np.random.default_rng(7)
ARRAYS = {
    "ct": RANDOM.integers(-1000, 2000, (3, 5, 7)).astype(np.int16),
    "big endian": RANDOM.normal(size=(2, 3)).astype(">f4"),
    "strided": RANDOM.integers(0, 9, (4, 6, 8))[:, ::2, ::-1],
    "bytes": RANDOM.integers(0, 255, 1000).astype(np.uint8),
    "bool": RANDOM.random((3, 9)) > 0.5,
    "empty": np.zeros((0, 4), np.float64),
}


def packed(array, how, **changes):
    header = {"type": "voxels", "packed": how, "unpacked": describe(array), **changes}
    return Message(header, pack_voxels(array, how))


def over_the_wire(message):
    (found,) = Decoder().feed(b"".join(map(bytes, encode(message))))
    return found


@pytest.mark.parametrize("how", packings())
@pytest.mark.parametrize("name", ARRAYS)
def test_voxels_survive_being_packed(name, how):
    array = ARRAYS[name]
    found = unpack(over_the_wire(packed(array, how)), array.nbytes)
    assert "packed" not in found.header
    np.testing.assert_array_equal(found.array, array)
    assert digest(found.array) == digest(array)


def test_a_digest_tells_type_and_shape_apart():
    zeros = np.zeros((2, 3), np.int16)
    assert len({digest(zeros), digest(zeros.T), digest(zeros.view(np.uint16)), digest(zeros + np.int16(1))}) == 4


def test_without_zstandard_voxels_are_packed_all_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert packings()[-1] == "zlib"
    array = ARRAYS["ct"]
    np.testing.assert_array_equal(unpack(packed(array, "zlib"), array.nbytes).array, array)


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (3, 5), (8, 8), (2, 3, 11)])
def test_masks_are_an_eighth_and_survive_it(shape):
    mask = RANDOM.random(shape) > 0.5
    message = pack_mask(Message({"type": "slice_done", "id": 3}, mask))
    assert message.array.nbytes <= max(mask.size // 8 + 1, 0)
    found = unpack(over_the_wire(message), 1 << 20)
    assert found.header == {"type": "slice_done", "id": 3}
    np.testing.assert_array_equal(found.array, mask)


def test_what_is_no_mask_is_left_as_it_is():
    for message in (Message({"type": "done"}), Message({"type": "x"}, np.arange(3))):
        assert pack_mask(message) is message
        assert unpack(message, 0) is message


CT = ARRAYS["ct"]
DAMAGED = {
    "too large": packed(CT, "zlib", unpacked={"dtype": "<i2", "shape": [1 << 20, 1 << 10]}),
    "too short": packed(CT, "zlib", unpacked={"dtype": "<i2", "shape": [3, 5, 8]}),
    "too long": packed(CT, "zlib", unpacked={"dtype": "<i2", "shape": [3, 5, 6]}),
    "a bomb": Message({"packed": "zlib", "unpacked": describe(CT)}, np.frombuffer(zlib.compress(bytes(1 << 20)), "u1")),
    "cut off": Message({"packed": "zlib", "unpacked": describe(CT)}, pack_voxels(CT, "zlib")[:-9]),
    "noise": Message({"packed": "zlib", "unpacked": describe(CT)}, np.arange(99, dtype=np.uint8)),
    "zstd noise": Message({"packed": "zstd", "unpacked": describe(CT)}, np.arange(99, dtype=np.uint8)),
    "another way": Message({"packed": "lzma", "unpacked": describe(CT)}, np.arange(99, dtype=np.uint8)),
    "no way": Message({"packed": ["zlib"], "unpacked": describe(CT)}, np.arange(99, dtype=np.uint8)),
    "no bytes": Message({"packed": "zlib", "unpacked": describe(CT)}),
    "numbers": Message({"packed": "zlib", "unpacked": describe(CT)}, np.arange(9)),
    "no description": Message({"packed": "zlib"}, np.arange(9, dtype=np.uint8)),
    "objects": packed(CT, "zlib", unpacked={"dtype": "O", "shape": [3]}),
    "bits of a CT": Message({"packed": "bits", "unpacked": describe(CT)}, np.zeros(14, np.uint8)),
    "too few bits": Message({"packed": "bits", "unpacked": {"dtype": "|b1", "shape": [99]}}, np.zeros(3, np.uint8)),
    "a bool of 2": Message(
        {"packed": "zlib", "unpacked": {"dtype": "|b1", "shape": [9]}}, pack_voxels(np.full(9, 2, np.uint8), "zlib")
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_was_packed_otherwise_than_it_says_is_refused(name):
    with pytest.raises(MessageError):
        unpack(DAMAGED[name], 1 << 16)


def sent(outbox):
    pieces = []
    while (piece := outbox.next()) is not None:
        pieces.append(bytes(piece))
    return pieces


def test_what_the_other_side_lacks_is_sent_again_over_a_new_line():
    outbox = Outbox()
    for number in range(5):
        outbox.put([b"head", bytes([number])])
    assert len(sent(outbox)) == 5
    outbox.acknowledge(2)
    outbox.put([b"6"])
    outbox.rewind(3)
    assert sent(outbox) == [b"head\x03", b"head\x04", b"6"]
    assert (outbox.count, outbox.acknowledged, outbox.held_bytes) == (6, 3, 11)


def test_no_more_is_on_its_way_than_the_window_holds():
    outbox = Outbox()
    outbox.put([bytes(3 * WINDOW_BYTES)])
    count = len(sent(outbox))
    assert count * PIECE_BYTES == WINDOW_BYTES
    outbox.acknowledge(1)
    assert len(sent(outbox)) == 1
    outbox.rewind(1)
    assert len(sent(outbox)) == count


@pytest.mark.parametrize("count", [-1, 0, 3, 1 << 70, "2", None, 1.0, True])
def test_counts_that_cannot_be_are_refused(count):
    outbox = Outbox()
    outbox.put([b"1"])
    outbox.put([b"2"])
    sent(outbox)
    outbox.acknowledge(1)
    with pytest.raises(MessageError):
        outbox.acknowledge(count)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(8, "nodename nor servname provided"), "nodename nor servname provided"),  # 8 is its own number
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), os.strerror(errno.ECONNREFUSED)),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_why_a_server_does_not_answer_is_told_in_the_words_of_its_own_kind(error, words):
    assert f"('{words}')" in unreachable(read_address("wss://host.example"), error).sentence
