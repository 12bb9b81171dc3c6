"""Requests and replies: what is right survives the wire, and every field that is wrong is named in one sentence."""

import json
from dataclasses import replace

import numpy as np
import pytest
from worker_words import MASK, RIGHT, RIGHT_REPLIES, RIGHT_REQUESTS, SETUP, WRONG

from SegmentPropagateLib.propagation.prompts import BoxPrompt, PointsPrompt
from SegmentPropagateLib.propagation.propagator import PropagationSettings
from SegmentPropagateLib.worker.fields import LARGEST, identity_of
from SegmentPropagateLib.worker.messages import Decoder, Message, MessageError, encode
from SegmentPropagateLib.worker.protocol import PROTOCOL, ProtocolError
from SegmentPropagateLib.worker.replies import (
    REPLIES,
    Cancelled,
    Done,
    Failed,
    Outlined,
    SliceDone,
    Started,
    Suggested,
    SuggestedKey,
    SuggestionsDone,
    Trusted,
    VolumeTaken,
)
from SegmentPropagateLib.worker.requests import (
    REQUESTS,
    Cancel,
    Hello,
    Inspect,
    Propagate,
    Quit,
    Segment,
    Suggest,
    TakeVolume,
    Trust,
    read_request,
)
from SegmentPropagateLib.worker.setup import SessionChoice


def frame(message):
    return b"".join(bytes(part) for part in encode(message))


def parts_of(content):
    """What a message says, field by field, arrays as lists."""
    return {name: getattr(content, name) for name in content.__dataclass_fields__}


@pytest.mark.parametrize("content", [*RIGHT_REQUESTS, *RIGHT_REPLIES], ids=lambda content: content.word)
def test_what_is_right_survives_the_wire(content):
    (message,) = Decoder().feed(frame(content.to_message(9)))
    assert identity_of(message) == 9
    found = type(content).from_message(message)
    for name, value in parts_of(content).items():
        np.testing.assert_equal(getattr(found, name), value)


def test_every_request_and_reply_has_a_word_of_its_own():
    assert set(REQUESTS.values()) == {type(content) for content in RIGHT_REQUESTS}
    assert set(REPLIES.values()) == {type(content) for content in RIGHT_REPLIES}
    assert not REQUESTS.keys() & REPLIES.keys()


def test_a_request_has_exactly_one_final_answer_besides_cancelled_and_failed():
    for kind in REQUESTS.values():
        assert sum(answer.final for answer in kind.answers) == (kind not in (Cancel, Quit)), kind
    assert Cancelled.final
    assert Failed.final


def test_the_prompt_of_a_request_is_the_box_or_the_points():
    request = RIGHT_REQUESTS[3]
    assert isinstance(request.prompt, PointsPrompt)
    assert request.prompt.box == BoxPrompt((0, 0, 6, 5))
    assert replace(request, points_ij=(), positive=()).prompt == BoxPrompt((0, 0, 6, 5))


@pytest.mark.parametrize(("plane", "shape"), [("axial", (5, 6, 7)), ("coronal", (6, 5, 7)), ("sagittal", (7, 5, 6))])
def test_a_setup_knows_its_stack(plane, shape):
    assert replace(SETUP, session=SessionChoice(plane)).stack_shape == shape


def test_an_empty_mask_travels_as_an_empty_box():
    message = SliceDone.of_mask(1, 3, np.zeros((6, 7), bool), presence=None, predicted_iou=None).to_message(1)
    found = SliceDone.from_message(Decoder().feed(frame(message))[0])
    assert found.box.shape == (0, 0)
    assert found.mask.shape == (6, 7)
    assert not found.mask.any()


# ---- what is wrong by itself ----------------------------------------------------------------------------------------

ARRAYS = ("voxels", "masks", "box")
PLACES = [(kind, path) for kind, fields in WRONG.items() for path in fields]
VALUES = [(kind, path, value) for kind, path in PLACES for value in WRONG[kind][path]]


def spoiled(kind, path, change):
    """The message of a right request or reply after `change(what holds the field, name of the field)`."""
    message = RIGHT[kind].to_message(1)
    if path in ARRAYS:
        fields = {path: message.array}
        change(fields, path)
        return Message(message.header, fields[path])
    header = json.loads(json.dumps(message.header))
    *owners, name = path.split(".")
    owner = header
    for step in owners:
        owner = owner[step]
    change(owner, name)
    return Message(header, message.array)


def paths_of(content, start=""):
    """Every field of a dataclass, and of those within it."""
    for name, value in parts_of(content).items():
        yield start + name
        if hasattr(value, "__dataclass_fields__"):
            yield from paths_of(value, f"{start}{name}.")


def test_the_table_of_wrong_values_has_every_field():
    assert {kind: set(fields) for kind, fields in WRONG.items()} == {
        kind: set(paths_of(right)) for kind, right in RIGHT.items()
    }


@pytest.mark.parametrize(("kind", "path", "value"), VALUES)
def test_a_wrong_value_is_named(kind, path, value):
    message = spoiled(kind, path, lambda owner, name: owner.__setitem__(name, value))
    with pytest.raises(MessageError) as caught:
        kind.from_message(message)
    assert f"'{kind.word}.{path}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind, path in PLACES if path not in ARRAYS])
def test_a_missing_field_is_named(kind, path):
    message = spoiled(kind, path, lambda owner, name: owner.pop(name))
    with pytest.raises(MessageError, match=f"'{kind.word}.{path}' is missing"):
        kind.from_message(message)


@pytest.mark.parametrize("path", ["fist", "setup.voxels", "setup.session.settings.rio"])
def test_an_unknown_field_is_named(path):
    message = spoiled(Propagate, path, lambda owner, name: owner.__setitem__(name, 1))
    with pytest.raises(MessageError, match=f"no field 'propagate.{path}'"):
        Propagate.from_message(message)


def test_an_array_where_none_belongs_is_refused():
    with pytest.raises(MessageError, match="'quit' carries an array"):
        Quit.from_message(Message(Quit().to_message(1).header, MASK))


def test_the_sender_is_told_as_well():
    with pytest.raises(MessageError, match=r"'propagate.first' must be from 0"):
        replace(RIGHT[Propagate], first=-1)
    settings = PropagationSettings(roi="somewhere")
    with pytest.raises(MessageError, match=r"'segment.setup.session.settings.roi' must be one of auto, off"):
        replace(RIGHT[Segment], setup=replace(SETUP, session=SessionChoice(settings=settings)))


def test_masks_along_another_plane_than_the_setup_s_are_refused():
    setup = replace(SETUP, session=SessionChoice("coronal"))
    with pytest.raises(MessageError, match=r"'propagate.masks' must be of shape \(2, 5, 7\)"):
        replace(RIGHT[Propagate], setup=setup)


@pytest.mark.parametrize("text", ["größer", "temps\u00a0: 3\u202fs", "日本語"])
def test_a_sentence_may_be_in_any_language(text):
    assert Failed("input", text).sentence == text


def test_trust_is_told_of_slices_that_were_asked_about_alone():
    request = RIGHT[Trust]
    with pytest.raises(MessageError, match=r"'trust.masks' must be within"):
        replace(request, origin=(3, 2, 0))
    assert request.whole.sum() == 24
    assert request.whole[1:4, 2:4, 0:4].all()
    with pytest.raises(MessageError, match=r"'trusted.doubtful' must be slices from 1 to 3, got 4"):
        request.read_reply(Trusted((1,), (4,)).to_message(1))


def test_a_range_that_is_reversed_is_refused():
    with pytest.raises(MessageError, match=r"'propagate.last' must be not before the first slice 3, got 2"):
        replace(RIGHT[Propagate], first=3, last=2)


def test_a_request_without_a_prompt_is_refused():
    with pytest.raises(MessageError, match=r"'segment.points_ij' must be at least one point"):
        replace(RIGHT[Segment], box_ij=None, points_ij=(), positive=())


def test_suggestions_need_finished_cases():
    with pytest.raises(MessageError, match=r"'suggest.cases' must be at least one where there is no folder"):
        replace(RIGHT[Suggest], folders=(), cases=())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"first": None, "last": 4}, "'suggested.last' must be none for what is not here"),
        ({"last": None, "first": 1}, "'suggested.first' must be none for what is not here"),
        ({"reason": " "}, "'suggested.reason' must be a text that is not empty"),
        ({"box": MASK[2:4, 3:6]}, "'suggested.box' must be empty for what is not here"),
    ],
)
def test_what_is_not_here_has_a_reason_and_nothing_else(changes, sentence):
    absent = {"status": "not here", "box": MASK[:0, :0], "first": None, "last": None}
    assert not replace(RIGHT[Suggested], **absent).mask.any()
    with pytest.raises(MessageError, match=sentence):
        replace(RIGHT[Suggested], **{**absent, **changes})


@pytest.mark.parametrize("identity", [None, "1", True, -1, 1.0, [1], LARGEST + 1])
def test_an_id_that_is_none_is_refused(identity):
    with pytest.raises(MessageError, match="'id' must be"):
        identity_of(Message({"type": "cancel", "id": identity}))


@pytest.mark.parametrize("word", ["dance", "", "welcome", 3, None, ["hello"]])
def test_what_is_no_request_is_refused(word):
    with pytest.raises(MessageError, match="does not know the request"):
        read_request(Message({"type": word, "id": 1}))


# ---- what does not fit together ------------------------------------------------------------------------------------

PROPAGATE = RIGHT[Propagate]
SLICE = RIGHT[SliceDone]
SUGGEST, DRAFT = RIGHT[Suggest], RIGHT[Suggested]


@pytest.mark.parametrize(
    ("request_", "reply", "sentence"),
    [
        (PROPAGATE, replace(SLICE, object_id=3), "'slice_done.object_id' must be one of 1, 2, got 3"),
        (PROPAGATE, replace(SLICE, slice_index=5), "'slice_done.slice_index' must be from 0 to 4, got 5"),
        (replace(PROPAGATE, last=2), SLICE, "'slice_done.slice_index' must be from 0 to 2, got 3"),
        (PROPAGATE, replace(SLICE, slice_index=2), "'slice_done.slice_index' must be no key slice, got 2"),
        (PROPAGATE, replace(SLICE, shape=(6, 8)), r"'slice_done.shape' must be \(6, 7\), got \(6, 8\)"),
        (PROPAGATE, replace(SLICE, done=9), "'slice_done.done' must be at most 8"),
        (PROPAGATE, Started(9, "none", ""), "'started.total' must be at most 8"),
        (PROPAGATE, Done(9, 1.0, None, {}), "'done.computed' must be at most 8"),
        (PROPAGATE, RIGHT[Outlined], "'outlined' is no answer to the request 'propagate'"),
        (PROPAGATE, RIGHT[VolumeTaken], "'volume_taken' is no answer to the request 'propagate'"),
        (SUGGEST, replace(DRAFT, object_id=3), "'suggested.object_id' must be one of 1, 2, got 3"),
        (SUGGEST, replace(DRAFT, slice_index=5, last=None), "'suggested.slice_index' must be from 0 to 4, got 5"),
        (SUGGEST, replace(DRAFT, last=5), "'suggested.last' must be one of the volume's 5 axial slices"),
        (SUGGEST, replace(RIGHT[SuggestedKey], object_id=3), "'suggested_key.object_id' must be one of 1, 2, got 3"),
        (SUGGEST, replace(RIGHT[SuggestedKey], slice_index=5), "'suggested_key.slice_index' must be from 0 to 4"),
        (SUGGEST, replace(DRAFT, shape=(6, 8)), r"'suggested.shape' must be \(6, 7\), got \(6, 8\)"),
        (SUGGEST, SuggestionsDone(1, 1.0, None), "'suggestions_done.count' must be 2"),
        (SUGGEST, SLICE, "no answer to the request 'suggest'"),
        (RIGHT[Segment], replace(RIGHT[Outlined], object_id=1), "'outlined.object_id' must be one of 3"),
        (RIGHT[Segment], replace(RIGHT[Outlined], slice_index=3), "'outlined.slice_index' must be from 4 to 4"),
        (RIGHT[Segment], replace(RIGHT[Outlined], shape=(7, 7)), "'outlined.shape' must be"),
        (RIGHT[Segment], SLICE, "no answer to the request 'segment'"),
        (RIGHT[TakeVolume], VolumeTaken("w"), "'volume_taken.volume' must be 'v', got 'w'"),
        (RIGHT[Inspect], RIGHT[Done], "no answer to the request 'inspect'"),
        (RIGHT[Hello], RIGHT[Started], "no answer to the request 'hello'"),
    ],
)
def test_a_reply_that_does_not_fit_the_request_is_refused(request_, reply, sentence):
    with pytest.raises(MessageError, match=sentence):
        request_.read_reply(reply.to_message(1))


@pytest.mark.parametrize("kind", REQUESTS.values())
def test_a_reply_that_fits_is_taken(kind):
    for reply in RIGHT_REPLIES:
        if type(reply) in (*kind.answers, Cancelled, Failed):
            assert type(RIGHT[kind].read_reply(reply.to_message(1))) is type(reply)


@pytest.mark.parametrize("word", ["dance", "", "hello", 3, None])
def test_what_is_no_reply_is_refused(word):
    with pytest.raises(MessageError, match="is no answer to the request 'propagate'"):
        PROPAGATE.read_reply(Message({"type": word, "id": 1}))


@pytest.mark.parametrize(("theirs", "older"), [(PROTOCOL + 1, "panel"), (PROTOCOL - 1, "worker"), (None, "worker")])
def test_a_worker_of_another_protocol_is_named_before_any_field_is_looked_at(theirs, older):
    message = Message({"type": "welcome", "id": 1, "protocol": theirs, "a_field": "of another version"})
    with pytest.raises(ProtocolError, match=f"the {older} is older, update it"):
        Hello().read_reply(message)


def test_a_new_setting_of_the_propagation_needs_no_new_words():
    """What `PropagationSettings` holds is what travels."""
    header = RIGHT[Propagate].to_message(1).header
    assert set(header["setup"]["session"]["settings"]) == set(PropagationSettings.__dataclass_fields__)
