"""Training a localizer, and its file: goes on where it was stopped, and is no other model."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_bodies import body, placed, save_case
from small_models import CARD, random_weights

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.formats.writing import write_volume
from SegmentPropagateLib.networks.checkpoints import load_network, save_checkpoint
from SegmentPropagateLib.networks.localizer import Localizer
from SegmentPropagateLib.networks.localizer_file import LocalizerCard, load_localizer, save_localizer
from SegmentPropagateLib.training.finetune import Conduct
from SegmentPropagateLib.training.landmark_views import ViewSettings, view_of
from SegmentPropagateLib.training.localizer import LocalizerSettings, train_localizer
from SegmentPropagateLib.volumes.volume import Volume

SMALL = LocalizerSettings(steps=4, batch=1, points=8, width=4, views=ViewSettings(sizes=(9,)))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    values, _labels = body(0)
    write_volume(folder / "anna.nii.gz", Volume(values, placed(values)))
    return folder


class Stop(Exception):
    pass


def weights_of(path):
    return torch.load(path, weights_only=True)["model"]


def test_a_run_that_was_stopped_goes_on_to_the_weights_it_would_have_had(images, tmp_path):
    def tick(record, _steps):
        if record["step"] == 2:
            raise Stop

    facts = train_localizer(images, tmp_path / "whole.pt", SMALL, Conduct())
    assert facts["steps"] == 4
    conduct = Conduct(save_seconds=0, tick=tick)
    with pytest.raises(Stop):
        train_localizer(images, tmp_path / "stopped.pt", SMALL, conduct)
    train_localizer(images, tmp_path / "stopped.pt", SMALL, Conduct(resume=True))
    whole, stopped = weights_of(tmp_path / "whole.pt"), weights_of(tmp_path / "stopped.pt")
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)
    logs = [json.loads((tmp_path / f"{name}.log.json").read_text()) for name in ("whole", "stopped")]
    assert logs[0]["records"] == logs[1]["records"]
    with pytest.raises(InputError, match="other settings"):
        train_localizer(images, tmp_path / "whole.pt", replace(SMALL, seed=2), Conduct(resume=True))
    with pytest.raises(InputError, match="exists already"):
        train_localizer(images, tmp_path / "whole.pt", SMALL, Conduct())


def test_the_command_line_trains_and_suggests(images, tmp_path, capsys):
    values, labels = body(0)
    save_case(tmp_path / "cases", "anna", values, labels, placed(values))
    path = tmp_path / "mine.pt"
    words = ["--steps", "1", "--batch", "1", "--width", "4"]
    assert main(["train-localizer", str(images), "-o", str(path), *words]) == 0
    assert "Wrote" in capsys.readouterr().err
    _network, card = load_localizer(path)
    assert (card.name, card.training_cases, card.modality, card.recipe["steps_done"]) == ("mine", ("anna",), "CT", 1)
    suggest = ["suggest", str(images / "anna.nii.gz"), "--support", str(tmp_path / "cases"), "--label", "9"]
    out = ["-o", str(tmp_path / "draft.seg.nrrd")]
    assert main([*suggest, "--source", "landmarks", "--localizer", str(path), *out]) in (0, 2)  # it has learned nothing
    told = capsys.readouterr().err
    assert "organ 9" in told.lower() or "label 9" in told.lower() or "segment" in told.lower()
    assert main([*suggest, "--source", "landmarks", *out]) == 2
    assert main([*suggest, "--localizer", str(path), *out]) == 2
    assert capsys.readouterr().err.count("belong together") == 2
    propagate = ["propagate", str(images / "anna.nii.gz"), "--box", "1,1,5,5", "--key-slice", "3"]
    assert main([*propagate, "--localizer", str(path), *out]) == 2
    assert "--source landmarks" in capsys.readouterr().err


def test_images_of_two_kinds_and_images_of_air_are_refused(images, tmp_path):
    values, _labels = body(0)
    folder = tmp_path / "mixed"
    folder.mkdir()
    write_volume(folder / "anna.nii.gz", Volume(values, placed(values)))
    write_volume(folder / "bob.nii.gz", Volume(np.full_like(values, -1000), placed(values)))
    with pytest.raises(InputError, match="'bob' shows no body"):
        train_localizer(folder, tmp_path / "a.pt", SMALL, Conduct())
    told = []
    train_localizer(folder, tmp_path / "a.pt", SMALL, Conduct(skip_bad=True, say=told.append))
    assert "Left out 'bob'" in told[0]
    write_volume(folder / "bob.nii.gz", Volume((np.abs(values) % 300 + 5).astype(np.int16), placed(values)))
    with pytest.raises(InputError, match="a localizer for each kind"):
        train_localizer(folder, tmp_path / "b.pt", SMALL, Conduct())


def test_a_view_shows_the_volume_where_it_says():
    volume = torch.from_numpy(np.add.outer(np.add.outer(np.arange(30.0), 40 * np.arange(31.0)), 9 * np.arange(32.0)))
    plain = ViewSettings(gamma=0.0, noise=0.0, cut=0.0)
    rng = np.random.default_rng(3)
    view = view_of(volume.float() / 2000 + 0.1, (9, 9, 9), rng, plain)
    while not view.inside.all():
        view = view_of(volume.float() / 2000 + 0.1, (9, 9, 9), rng, plain)
    place = np.array([3, 4, 5])
    s, a, r = view.matrix @ place + view.start
    assert float(view.image[3, 4, 5]) == pytest.approx((s + 40 * a + 9 * r) / 2000 + 0.1, rel=0.02)


def saved(path, state=None, **entries):
    """A file of a small localizer, with its parts replaced."""
    torch.manual_seed(0)
    weights = Localizer(4, 8).state_dict() if state is None else state
    card = {**LocalizerCard(2, "CT").to_dict(), **entries}
    torch.save({"model": weights, "card": card}, path)
    return path


def changed(**tensors):
    state = Localizer(4, 8).state_dict()
    state.update({name.replace("__", "."): tensor for name, tensor in tensors.items()})
    return {name: tensor for name, tensor in state.items() if tensor is not None}


HOSTILE = {
    "a missing tensor": ({"state": lambda: changed(rdr__0__bias=None)}, "1 missing"),
    "one too many": ({"state": lambda: changed(more=torch.zeros(1))}, "1 unexpected"),
    "NaN": ({"state": lambda: changed(rdr__0__bias=torch.full((32,), torch.nan))}, "NaN"),
    "another shape": ({"state": lambda: changed(rdr__0__bias=torch.zeros(31))}, "another shape"),
    "whole numbers": ({"state": lambda: changed(rdr__0__bias=torch.zeros(32, dtype=torch.int64))}, "kind"),
    "one number for many": ({"state": lambda: changed(rdr__0__bias=torch.zeros(1).expand(32))}, "contiguous"),
    "a giant": ({"state": lambda: changed(trunk__0__0__weight=torch.zeros(4096, 1, 1, 1, 1))}, "no localizer has"),
    "no trunk": ({"state": lambda: changed(trunk__0__0__weight=None)}, "no localizer has"),
    "a step of 0": ({"step": 0}, "'step'"),
    "a step that is true": ({"step": True}, "'step'"),
    "a modality that is none": ({"modality": "smell"}, "'modality'"),
    "another family": ({"family": "sam2"}, "'family'"),
    "a name without end": ({"name": "a" * 300}, "'name'"),
    "a recipe with NaN": ({"recipe": {"rate": float("nan")}}, "nan"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_that_is_no_whole_localizer_is_refused_in_a_sentence(tmp_path, kind):
    parts, why = HOSTILE[kind]
    parts = {name: part() if callable(part) else part for name, part in parts.items()}
    path = saved(tmp_path / "mine.pt", **parts)
    with pytest.raises(CheckpointError, match=why) as caught:
        load_localizer(path)
    assert str(caught.value).endswith(".")
    assert ". " not in str(caught.value).replace(str(path), "")


def test_a_good_file_gives_back_what_was_saved(tmp_path):
    network, card = load_localizer(saved(tmp_path / "mine.pt"))
    torch.manual_seed(0)
    for name, tensor in Localizer(4, 8).state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor)
    assert (card.step, card.modality, len(card.sha256)) == (2, "CT", 64)
    save_localizer(tmp_path / "again.pt", network.state_dict(), card)
    assert load_localizer(tmp_path / "again.pt")[1].to_dict() == card.to_dict()


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_code_in_a_file_never_runs(tmp_path, capsys):
    path = saved(tmp_path / "mine.pt", recipe={"steps": Evil()})
    with pytest.raises(CheckpointError, match="asks to run code"):
        load_localizer(path)
    assert capsys.readouterr().out == ""


def test_localizers_and_models_that_propagate_are_not_taken_for_each_other(tmp_path):
    with pytest.raises(CheckpointError, match="holds a localizer of landmarks"):
        load_network(saved(tmp_path / "localizer.pt"))
    save_checkpoint(tmp_path / "model.pt", random_weights(), CARD)
    with pytest.raises(CheckpointError, match="holds no localizer"):
        load_localizer(tmp_path / "model.pt")
