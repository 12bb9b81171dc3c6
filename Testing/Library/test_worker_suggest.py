"""Drafts from finished cases by the worker: labels by name, in their order, and nothing of what is cancelled."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_training import CARD, tiny_network

from SegmentPropagateLib.errors import CancelledError, InputError
from SegmentPropagateLib.formats.writing import write_segmentation, write_volume
from SegmentPropagateLib.networks.checkpoints import save_checkpoint
from SegmentPropagateLib.networks.mask_attention import add_mask_attention
from SegmentPropagateLib.phantoms.bodies import make_body
from SegmentPropagateLib.prompting.source import Proposal
from SegmentPropagateLib.propagation.results import SliceResult
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.volume import Volume
from SegmentPropagateLib.worker.exchange import Exchange
from SegmentPropagateLib.worker.replies import Preparing, Suggested, SuggestedKey, Suggesting, SuggestionsDone
from SegmentPropagateLib.worker.requests import Suggest, TakeVolume
from SegmentPropagateLib.worker.service import Service
from SegmentPropagateLib.worker.setup import ModelChoice, SessionChoice, Setup

NAMES = {4: "Liver", 9: "Left Kidney"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with one finished case: values, labels, geometry, and where they are."""
    folder = tmp_path_factory.mktemp("finished")
    phantom = make_body(0, mm=6.0, cropped=False).phantom  # half as large as people, which keeps the tests quick
    values, labels = phantom.values[26:50].copy(), phantom.labels[26:50].copy()
    geometry = Geometry(values.shape, np.diag([-3.0, -3.0, 3.0, 1.0]))
    write_volume(folder / "anna.nrrd", Volume(values, geometry))
    segments = [SegmentInfo(number, name, (0.25, 0.5, 1.0)) for number, name in NAMES.items()]
    write_segmentation(folder / "anna.seg.nrrd", {n: labels == n for n in NAMES}, geometry, segments)
    return folder, values, labels, geometry


def service_with(values):
    service = Service(load_model=None)
    service.answer(TakeVolume("v", values), lambda _reply: None, lambda: False)
    return service


def request(finished, labels=(), folders=None, cases=()):
    folder, values, _labels, geometry = finished
    matrix = tuple(geometry.ijk_to_ras.ravel().tolist())
    setup = Setup("v", values.shape, matrix, None, ModelChoice("classical"), SessionChoice())
    return Suggest(setup, tuple(labels), (str(folder),) if folders is None else folders, cases)


def ask(service, asked, cancelled=lambda replies: False):
    """The replies, each held against the request as the panel does."""
    replies, exchange = [], Exchange(asked)

    def send(reply):
        replies.append(exchange.read(reply.to_message(1)))

    service.answer(asked, send, lambda: cancelled(replies))
    return replies


@pytest.fixture(scope="module")
def answered(finished):
    """The replies for the template itself."""
    return ask(service_with(finished[1]), request(finished, ["left kidney", "Spleen", "Liver"]))


def test_drafts_come_in_the_order_of_the_names_whatever_their_case(finished, answered):
    labels = finished[2]
    kidney, spleen, liver = (reply for reply in answered if isinstance(reply, Suggested))
    for draft, number in ((kidney, 9), (liver, 4)):
        assert (draft.status, draft.name, draft.color_rgb) == ("found", NAMES[number], (0.25, 0.5, 1.0))
        assert np.array_equal(draft.mask, labels[draft.slice_index] == number)
    assert [draft.object_id for draft in (kidney, spleen, liver)] == [1, 2, 3]
    assert (spleen.status, spleen.reason) == ("not here", "No finished case has a label 'Spleen'.")


def test_progress_is_told_and_the_end_counts_the_drafts(answered):
    assert answered[0] == Preparing("support")
    steps = [(reply.done, reply.total) for reply in answered if isinstance(reply, Suggesting)]
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]
    assert isinstance(answered[-1], SuggestionsDone)
    assert answered[-1].count == 3


def test_files_may_be_named_one_by_one_and_without_names_all_labels_are_meant(finished):
    folder, values, _labels, _geometry = finished
    files = (str(folder / "anna.nrrd"), str(folder / "anna.seg.nrrd"))
    replies = ask(service_with(np.full_like(values, -1000)), request(finished, folders=(), cases=(files,)))
    assert [reply.name for reply in replies if isinstance(reply, Suggested)] == list(NAMES.values())


@pytest.mark.parametrize("after", [Preparing, Suggesting])
def test_what_is_cancelled_ends_with_its_step_and_sends_no_draft(finished, after):
    replies = []

    def cancelled(so_far):
        replies[:] = so_far
        return bool(so_far) and isinstance(so_far[-1], after)

    with pytest.raises(CancelledError):
        ask(service_with(finished[1]), request(finished, ["Liver"]), cancelled)
    assert not any(isinstance(reply, Suggested) for reply in replies)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"folders": ("/nowhere",)}, "'/nowhere' does not exist"),
        ({"folders": (), "cases": (("/no.nrrd", "/no.seg.nrrd"),)}, "no.seg.nrrd"),
        ({"folders": ("/dev/null",)}, "must be a folder, or a list"),
    ],
)
def test_finished_cases_that_cannot_be_read_are_told_in_one_sentence(finished, change, sentence):
    with pytest.raises(InputError, match=sentence):
        ask(service_with(finished[1]), request(finished, **change))


@pytest.mark.parametrize("is_taught", [True, False])
def test_the_chosen_model_reads_the_finished_cases_if_it_was_taught_to(finished, tmp_path, monkeypatch, is_taught):
    network = tiny_network()
    if is_taught:
        add_mask_attention(network)
    save_checkpoint(tmp_path / "reader.pt", network.state_dict(), CARD)
    given = []

    class Source:
        def propose(self, volume, labels, support, plane, tick):
            given.append(support.model)
            return [Proposal(label, "not here", reason="It is elsewhere.") for label in labels]

    monkeypatch.setattr("SegmentPropagateLib.worker.suggesting.find_source", lambda name: Source())
    asked = request(finished)
    chosen = replace(asked.setup, model=ModelChoice(str(tmp_path / "reader.pt")))
    ask(service_with(finished[1]), replace(asked, setup=chosen))
    assert given == [str(tmp_path / "reader.pt") if is_taught else None]


def test_an_image_that_was_not_sent_is_asked_for(finished):
    with pytest.raises(InputError, match="send it first"):
        ask(Service(load_model=None), request(finished))


def test_an_image_without_a_body_is_told_so_for_every_label(finished):
    replies = ask(service_with(np.full_like(finished[1], -1000)), request(finished, ["Liver", "Spleen"]))
    assert [reply.reason for reply in replies if isinstance(reply, Suggested)] == [
        "'the image' shows no body: it is empty, all air, or smaller than 5 ml.",
        "No finished case has a label 'Spleen'.",
    ]


class OneLiver:
    """A source that knows three slices of a liver, two of them as key slices."""

    def propose(self, volume, labels, _support, _plane, _tick):
        masks = {index: np.zeros(volume.geometry.shape_kji[1:], dtype=bool) for index in (3, 5, 6)}
        for index, mask in masks.items():
            mask[4:9, index : index + 5] = True
        slices = {index: SliceResult.of_draft(mask, 0.9, is_key=index != 5) for index, mask in masks.items()}
        return [Proposal(label, "found", 6, masks[6], confidence=0.9, slices=slices) for label in labels]


def test_further_key_slices_follow_the_drafts(finished, monkeypatch):
    monkeypatch.setattr("SegmentPropagateLib.worker.suggesting.find_source", lambda _name: OneLiver())
    replies = ask(service_with(finished[1]), request(finished, ["Spleen", "Liver"]))[1:-1]
    assert [(type(reply), reply.object_id, reply.slice_index) for reply in replies] == [
        (Suggested, 1, 0),
        (Suggested, 2, 6),
        (SuggestedKey, 2, 3),
    ]
    assert np.argwhere(replies[-1].mask)[0].tolist() == [4, 3]
