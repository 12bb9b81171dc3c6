"""Frames over any byte stream: what goes in comes out, and nothing else is taken for a message."""

import io
import json
import struct

import numpy as np
import pytest

from SegmentPropagateLib.worker.messages import (
    VERSION,
    Decoder,
    Message,
    MessageError,
    encode,
    read_message,
    write_message,
)


def frame(message):
    return b"".join(bytes(part) for part in encode(message))


def only(data, pieces):
    decoder, found = Decoder(), []
    for start in range(0, len(data), pieces):
        found += decoder.feed(data[start : start + pieces])
    assert decoder.between_messages
    (message,) = found
    return message


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "f4", "f8", ">i2"])
def test_an_array_of_every_kind_survives(dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    received = only(frame(Message({"type": "volume"}, array)), 7)
    assert received.header == {"type": "volume"}
    assert np.array_equal(received.array, array)
    assert received.array.dtype == array.dtype.newbyteorder("<")


@pytest.mark.parametrize("pieces", [1, 5, 18, 1000])
def test_pieces_of_any_size_make_the_same_messages(pieces):
    data = b"".join(frame(Message({"type": str(n)}, np.full((n, 2), n, np.uint8))) for n in range(4))
    decoder, found = Decoder(), []
    for start in range(0, len(data), pieces):
        found += decoder.feed(data[start : start + pieces])
    assert [message.type for message in found] == ["0", "1", "2", "3"]
    assert [message.array.shape for message in found] == [(0, 2), (1, 2), (2, 2), (3, 2)]


def test_a_message_without_an_array_has_none():
    assert only(frame(Message({"type": "quit", "text": "größer"})), 3).array is None


def test_a_cut_out_of_a_larger_array_arrives_as_seen():
    array = np.arange(100, dtype=np.int16).reshape(10, 10)[2:9:2, ::-3]
    assert np.array_equal(only(frame(Message({"type": "x"}, array)), 11).array, array)


def test_a_large_array_is_not_copied_for_sending():
    array = np.zeros((8, 16, 16), np.int16)
    assert np.shares_memory(np.frombuffer(encode(Message({"type": "volume"}, array))[1], np.uint8), array)


def test_a_stream_gives_its_messages_and_then_none():
    stream = io.BytesIO()
    write_message(stream, Message({"type": "a"}, np.ones(3)))
    write_message(stream, Message({"type": "b"}))
    stream.seek(0)
    assert [read_message(stream).type, read_message(stream).type, read_message(stream)] == ["a", "b", None]


@pytest.mark.parametrize("kept", [1, 17, 18, 20, -1])
def test_a_stream_that_ends_within_a_message_is_an_error(kept):
    data = frame(Message({"type": "slice"}, np.zeros(9)))
    with pytest.raises(MessageError, match="middle of a message"):
        read_message(io.BytesIO(data[:kept]))


def corrupt(position, value):
    data = bytearray(frame(Message({"type": "slice"}, np.zeros(9, np.uint8))))
    data[position : position + len(value)] = value
    return bytes(data)


def framed(header, payload=b""):
    """A frame whose lengths are right, whatever it holds."""
    return struct.pack("<4sHIQ", b"SPRO", VERSION, len(header), len(payload)) + header + payload


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"Traceback (most recent call last):", "no message"),
        (corrupt(4, struct.pack("<H", 9)), "version 9"),
        (corrupt(6, struct.pack("<I", 1 << 30)), "out of bounds"),
        (corrupt(6, struct.pack("<I", 0)), "out of bounds"),
        (corrupt(10, struct.pack("<Q", 1 << 60)), "out of bounds"),
        (corrupt(10, struct.pack("<Q", 8)), "8 bytes for an array"),
        (corrupt(18, b"}"), "no JSON"),
        (frame(Message({"type": "x"})).replace(b'"type":"x"', b'"array":12'), "unknown kind"),
        (framed(b'{"type":"x"}', b"12345678"), "do not belong together"),
        (framed(b"[" * 10_000), "no JSON"),
        (framed(b'["array"]'), "no JSON object"),
        (framed(b'{"array":{"dtype":"|b1","shape":[2]}}', b"\x01\x02"), "other than 0 and 1"),
    ],
)
def test_a_damaged_frame_is_refused_in_one_sentence(data, sentence):
    with pytest.raises(MessageError, match=sentence) as caught:
        Decoder().feed(data)
    assert "\n" not in str(caught.value)


def test_an_array_of_objects_can_neither_be_sent_nor_smuggled_in():
    with pytest.raises(MessageError, match="cannot be sent"):
        encode(Message({"type": "x"}, np.array([None, {}], dtype=object)))
    data = frame(Message({"type": "x"}, np.zeros(2))).replace(b'"<f8"', b'"|O8"')
    with pytest.raises(MessageError, match="unknown kind"):
        Decoder().feed(data)


def test_a_header_that_json_cannot_say_is_refused_where_it_is_made():
    with pytest.raises(ValueError, match="JSON"):
        encode(Message({"type": "x", "iou": float("nan")}))


@pytest.mark.parametrize("payload", [b"", b"12345678"])
@pytest.mark.parametrize(
    "described",
    [
        None, True, 12, "<f8", [], {}, {"dtype": "<f8"}, {"shape": [1]}, {"dtype": None, "shape": [1]},
        {"dtype": ["<f8"], "shape": [1]}, {"dtype": "|O8", "shape": [1]}, {"dtype": "<f8", "shape": 1},
        {"dtype": "<f8", "shape": "1"}, {"dtype": "<f8", "shape": [True]}, {"dtype": "<f8", "shape": [1.0]},
        {"dtype": "<f8", "shape": [-1]}, {"dtype": "<f8", "shape": [None]}, {"dtype": "<f8", "shape": [1 << 70]},
        {"dtype": "<f8", "shape": [1] * 9}, {"dtype": "<f8", "shape": [0, 1 << 34, 1 << 34]},
        {"dtype": "<f8", "shape": [3]},
    ],
    ids=str,
)  # fmt: skip
def test_an_array_that_is_described_wrongly_is_refused(described, payload):
    with pytest.raises(MessageError) as caught:
        Decoder().feed(framed(json.dumps({"type": "x", "array": described}).encode(), payload))
    assert "\n" not in str(caught.value)
