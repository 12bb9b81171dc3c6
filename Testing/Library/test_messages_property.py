"""Whatever bytes come: messages or a MessageError, in any pieces, and no more memory than the bytes themselves."""

import itertools
import json
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_requests import RIGHT_REPLIES, RIGHT_REQUESTS, frame, parts_of

from SegmentPropagateLib.worker.fields import identity_of
from SegmentPropagateLib.worker.messages import VERSION, Decoder, Message, MessageError
from SegmentPropagateLib.worker.replies import REPLIES
from SegmentPropagateLib.worker.requests import REQUESTS, Propagate, read_request

KINDS = {**REQUESTS, **REPLIES}
(PROPAGATE,) = (request for request in RIGHT_REQUESTS if isinstance(request, Propagate))
RIGHT = (*RIGHT_REQUESTS, *RIGHT_REPLIES)
FRAMES = [frame(content.to_message(number)) for number, content in enumerate(RIGHT)]
SPARE_BYTES = 1 << 20

repeatable = settings(
    derandomize=True, database=None, deadline=None, max_examples=250, suppress_health_check=list(HealthCheck)
)


def prefix(header, payload, magic=b"SPRO", version=VERSION):
    return struct.pack("<4sHIQ", magic, version, header, payload)


def framed(header, payload=b""):
    """A frame whose lengths are right, whatever it holds."""
    return prefix(len(header), len(payload)) + header + payload


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=20,
)
sizes = st.integers(0, 70) | st.integers(0, (1 << 32) - 1)
descriptions = st.fixed_dictionaries(
    {"dtype": st.sampled_from(["|b1", "<f8", "<i2", "|O8", ">i4"]) | json_values, "shape": st.lists(sizes, max_size=9)}
)
headers = st.dictionaries(st.sampled_from(["type", "id", "array", "shape"]), json_values | descriptions)


@st.composite
def damaged_frames(draw):
    """Right frames with other bytes, cut, or with a piece of another one."""
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(FRAMES), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(data)


any_bytes = (
    st.binary(max_size=200)
    | damaged_frames()
    | st.builds(framed, st.binary(min_size=1, max_size=60), st.binary(max_size=60))
    | st.builds(lambda header, payload: framed(json.dumps(header).encode(), payload), headers, st.binary(max_size=70))
    | st.builds(lambda header, payload, rest: prefix(header, payload) + rest, sizes, sizes, st.binary(max_size=90))
)


def pieces_of(data, cuts):
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


def same(found, wanted):
    assert found.header == wanted.header
    assert (found.array is None) == (wanted.array is None)
    if wanted.array is not None:
        assert found.array.dtype == wanted.array.dtype
        assert np.array_equal(found.array, wanted.array)


@repeatable
@given(any_bytes, st.lists(st.integers(0, 1 << 16), max_size=3))
@example(prefix(100, 32 << 30), [])
@example(framed(json.dumps({"array": {"dtype": "<f8", "shape": [1 << 32]}}).encode())[:-1], [])
@example(prefix(60, 32 << 30) + b'{"array":{"dtype":"|b1","shape":[34359738368]},"type":"big"}' + bytes(64), [])
@example(framed(b"[" * 16_000), [])
@example(framed(b"[" * 900 + b"]" * 900), [])
@example(framed(b"[" + b"[" * 400 + b"]" * 400 + b",[]" * 5000 + b"]"), [])
@example(framed(b"[" + b'{"":0},' * 2300 + b"0]"), [])
@example(framed('{"type":"\N{GRINNING FACE}'.encode() + b"a" * 16_000 + b'"}'), [])
@example(framed(b'{"id":' + b"9" * 16_000 + b"}"), [])
def test_any_bytes_give_messages_or_a_message_error_and_take_no_memory(data, cuts):
    pieces, sentences, messages = pieces_of(data, cuts), [], []
    tracemalloc.start()
    try:
        decoder = Decoder()
        for piece in pieces:
            messages += decoder.feed(piece)
    except MessageError as error:
        sentences.append(str(error))
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak <= len(data) + SPARE_BYTES
    for message in messages:
        for read in (read_request, PROPAGATE.read_reply):
            try:
                read(message)
            except MessageError as error:
                sentences.append(str(error))
    assert all(sentence.isprintable() and len(sentence) < 300 for sentence in sentences)


def test_a_large_message_takes_the_memory_of_what_has_come():
    sent = np.zeros(6 << 20, np.uint8)
    data = frame(Message({"type": "x"}, sent))
    for count in (len(data) // 3, len(data)):
        decoder, messages, rest = Decoder(), [], memoryview(data)[:count]
        tracemalloc.start()
        while len(rest):
            messages += decoder.feed(rest[: 1 << 16])
            rest = rest[1 << 16 :]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= count + SPARE_BYTES
    assert np.array_equal(messages[0].array, sent)


@repeatable
@given(st.lists(st.sampled_from(range(len(FRAMES))), max_size=4), st.lists(st.integers(0, 1 << 16), max_size=8))
def test_a_stream_in_any_pieces_gives_the_same_messages(numbers, cuts):
    decoder, found = Decoder(), []
    for piece in pieces_of(b"".join(FRAMES[number] for number in numbers), cuts):
        found += decoder.feed(piece)
    assert decoder.between_messages
    assert len(found) == len(numbers)
    for message, number in zip(found, numbers, strict=True):
        same(message, RIGHT[number].to_message(number))
        content = type(RIGHT[number]).from_message(message)
        for name, value in parts_of(RIGHT[number]).items():
            np.testing.assert_equal(getattr(content, name), value)


@repeatable
@given(
    st.sampled_from([content for content in RIGHT if parts_of(content)]),
    st.data(),
    json_values,
)
def test_any_value_in_any_field_survives_the_wire_or_is_refused(content, data, value):
    header = dict(content.to_message(7).header)
    name = data.draw(st.sampled_from(sorted(header)))
    try:
        (message,) = Decoder().feed(framed(json.dumps({**header, name: value}).encode()))
        found, number = KINDS[message.type].from_message(message), identity_of(message)
    except (MessageError, KeyError):
        return
    (again,) = Decoder().feed(frame(found.to_message(number)))
    for field, kept in parts_of(KINDS[again.type].from_message(again)).items():
        np.testing.assert_equal(kept, getattr(found, field))


def test_a_decoder_that_has_refused_something_refuses_what_follows():
    decoder = Decoder()
    for data in (b"x" * 18, FRAMES[0], b"y"):
        with pytest.raises(MessageError, match="no message"):
            decoder.feed(data)
