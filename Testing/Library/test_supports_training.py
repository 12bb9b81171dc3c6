"""Training in SAM2-SGP's manner: what a slice costs, what supports it, and that training sees what a run sees."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_bodies import body, placed, save_case
from tiny_training import CARD, save_tiny, tiny_network

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.cases import Case, find_cases
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint, save_checkpoint
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.networks.mask_attention import add_mask_attention
from SegmentPropagateLib.prompting.recall import Aligned, Question, remembering
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings
from SegmentPropagateLib.propagators.tracking.appearance import WindowsAppearance
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator
from SegmentPropagateLib.training.clips import Clip, Target
from SegmentPropagateLib.training.data import Example
from SegmentPropagateLib.training.finetune import Conduct, finetune
from SegmentPropagateLib.training.forward import ClipPrompt, policy_of
from SegmentPropagateLib.training.losses import SliceOutput
from SegmentPropagateLib.training.settings import METHODS, RECIPES
from SegmentPropagateLib.training.supports.bookcase import Asked
from SegmentPropagateLib.training.supports.examiner import SupportExaminer
from SegmentPropagateLib.training.supports.lessons import SupportLessons
from SegmentPropagateLib.training.supports.loss import SupportWeights, divergence, support_loss
from SegmentPropagateLib.training.supports.trainer import SupportForward, SupportTrainer
from SegmentPropagateLib.training.trainer import TrainerSettings
from SegmentPropagateLib.volumes.stack import ImageStack

SGP = replace(RECIPES["sgp"], batch=2, steps=2)
ORGANS = (4, 9)
SIDE = 64


def save_cases(folder, *names, organs=ORGANS):
    """Stretches of drawn bodies of one layout with some of their organs."""
    for seed, name in enumerate(names):
        values, labels = body(seed, slice(30, 40))
        save_case(folder, name, values, np.where(np.isin(labels, organs), labels, 0), placed(values))
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return save_cases(tmp_path_factory.mktemp("supports"), "ann", "bob")


# ------------------------------------------------------------------------------------------------------------- loss


def output(logits, presence):
    return SliceOutput(logits[:, None], torch.full((len(logits), 1), 0.5), torch.tensor(presence)[:, None])


def test_the_divergence_is_that_of_the_definition():
    first, second = torch.tensor([-3.0, 0.5, 2.0]), torch.tensor([-2.0, 0.5, -1.0])
    p, q = (1 / (1 + np.exp(-logits.numpy())) for logits in (first, second))
    expected = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    assert np.allclose(divergence(first, second), expected, atol=1e-6)
    assert divergence(first, first).tolist() == [0, 0, 0]


def test_a_good_result_costs_less_and_an_empty_target_asks_for_an_empty_mask_and_a_low_score():
    target = torch.zeros(1, 8, 8, dtype=torch.bool)
    full, empty = torch.full((1, 8, 8), 6.0), torch.full((1, 8, 8), -6.0)
    silent = support_loss(output(empty, [-4.0]), output(empty, [-4.0]), target, SupportWeights())
    loud = support_loss(output(full, [4.0]), output(full, [4.0]), target, SupportWeights())
    for term in ("dice", "cross_entropy", "presence"):
        assert getattr(silent, term) < 0.2 < getattr(loud, term)
    assert loud.iou == 0  # there is none to predict
    assert torch.isclose(loud.total, loud.dice + loud.cross_entropy + loud.divergence + loud.presence)
    whole = support_loss(output(full, [4.0]), output(full, [4.0]), ~target, SupportWeights())
    assert whole.dice < 0.02


# ---------------------------------------------------------------------------------------------------------- forward


@pytest.fixture(scope="module")
def network():
    network = tiny_network()
    add_mask_attention(network)
    torch.nn.init.normal_(network.mask_attention.values.weight, std=0.2)
    return network.eval()


def pictures():
    rng = np.random.default_rng(0)
    masks = np.zeros((3, SIDE, SIDE), bool)
    for number, mask in enumerate(masks):
        mask[18 + number : 40 + number, 20:44] = True
    return (60 + 80 * masks + rng.normal(0, 6, masks.shape)).astype(np.float32), masks


def test_training_sees_what_a_run_sees(network):
    values, masks = pictures()
    propagator = NetworkPropagator(network, CARD)
    whole = np.concatenate([values, np.zeros((13, SIDE, SIDE), np.float32)])  # a volume's 16 slices
    stack = ImageStack(whole, whole.astype(np.uint8), (1.0, 1.0, 1.0))
    propagator.open(stack, PropagationSettings(roi="off", looks_twice=True))
    (update,) = propagator.run([Lane(1, (0, 1), (range(2, 3),))], {1: {0: masks[0], 1: masks[1]}})
    pixels = torch.from_numpy(values)
    images = WindowsAppearance.from_key(pixels[1], torch.from_numpy(masks[1])).apply(pixels)[:, None]
    with torch.no_grad():
        _pseudo, result = SupportForward(network, policy_of(network, 1)).answers(
            images, torch.from_numpy(masks[:2])[:, None]
        )
    assert float(result.presence) == pytest.approx(update.presence, abs=0.02)  # memories of a run are bfloat16
    assert float(result.ious) == pytest.approx(update.predicted_iou, abs=0.02)


def test_a_step_changes_all_that_follows_the_trunk_and_nothing_in_it(network):
    values, masks = pictures()
    clip = Clip(torch.from_numpy(values)[:, None].expand(-1, 3, -1, -1) / 100, torch.from_numpy(masks), None, False)
    trained = copy.deepcopy(network)
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    settings = TrainerSettings(steps=2, learns=METHODS["sgp"], clip_norm=1.0)
    trainer = SupportTrainer(trained, policy_of(trained, 1), settings, torch.device("cpu"))
    records = [trainer.step([clip, clip], ClipPrompt()) for _ in range(2)]
    terms = ("dice", "cross_entropy", "divergence", "iou", "presence")
    assert records[0]["loss"] == pytest.approx(sum(records[0][term] for term in terms), rel=1e-5)
    changed = {name for name, tensor in trained.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not any(name.startswith("image_encoder.trunk.") for name in changed)
    for part in (
        "mask_attention.values",
        "memory_attention",
        "memory_encoder",
        "sam_mask_decoder",
        "sam_prompt_encoder",
    ):
        assert any(name.startswith(part) for name in changed), part


# ---------------------------------------------------------------------------------------------------------- lessons


def lessons_of(folder, **changes):
    lessons = SupportLessons(replace(SGP, **changes), lambda _sentence: None)
    return lessons, [example for case in find_cases(folder) for example in lessons.examples(case)]


def test_slices_are_supported_by_other_cases_and_drawn_anew_the_same(dataset):
    batches = []
    for _ in range(2):
        lessons, examples = lessons_of(dataset)
        batches.append(lessons.batches(examples, print).batch(3, 0, [0, 1], CARD)[0])
    assert [example.case.name for example in examples] == ["ann", "ann", "bob", "bob"]
    for one, other in zip(*batches, strict=True):
        assert one.images.shape == (5, 3, SIDE, SIDE)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.masks, other.masks)
        assert one.masks[:4].flatten(1).any(1).all()


@pytest.mark.parametrize("absent", [0.0, 1.0])
def test_as_many_slices_lack_the_object_as_the_settings_say(dataset, absent):
    lessons, examples = lessons_of(dataset, absent=absent)
    batches = lessons.batches(examples, print)
    clips = [clip for step in range(3) for clip in batches.batch(step, 0, range(2), CARD)[0]]
    assert [not clip.masks[-1].any() for clip in clips] == [absent == 1.0] * len(clips)


def test_a_single_case_has_nobody_to_support_it(dataset):
    lessons, examples = lessons_of(dataset)
    with pytest.raises(InputError, match="'ann' is the only case to learn from"):
        lessons.batches(examples[:2], print)


def test_options_of_sequences_do_not_go_with_it(dataset, tmp_path, capsys):
    words = ["finetune", str(dataset), "--init", str(save_tiny(tmp_path / "t.pt")), "-o", str(tmp_path / "m.pt")]
    assert main([*words, "--recipe", "sgp", "--slices", "5"]) == 2
    assert "--slices is for sequences" in capsys.readouterr().err
    assert main(["suggest", "x.nii.gz", "--support", str(dataset), "--model", "starter", "-o", "y.nii.gz"]) == 2


@pytest.mark.slow
def test_a_run_that_was_interrupted_resumes_to_the_weights_it_would_have_had(dataset, tmp_path):
    tiny, settings = save_tiny(tmp_path / "tiny.pt"), replace(SGP, batch=1, validation=0.0)

    def stop(_record, _steps):
        raise KeyboardInterrupt

    finetune(dataset, tiny, tmp_path / "whole.pt", settings, Conduct())
    with pytest.raises(KeyboardInterrupt):
        finetune(dataset, tiny, tmp_path / "torn.pt", settings, Conduct(save_seconds=0, tick=stop))
    finetune(dataset, tiny, tmp_path / "torn.pt", settings, Conduct(resume=True))
    one, other = (torch.load(tmp_path / name, weights_only=True)["model"] for name in ("whole.pt", "torn.pt"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_a_finetuned_file_reads_finished_cases(tmp_path, capsys):
    folder, tiny = save_cases(tmp_path / "data", "ann", "bob", "cleo", organs=ORGANS[:1]), save_tiny(tmp_path / "t.pt")
    words = ["finetune", str(folder), "--init", str(tiny), "--recipe", "sgp", "--steps", "1", "--batch", "1"]
    assert main([*words, "-o", str(tmp_path / "m.pt")]) == 0
    card = inspect_checkpoint(tmp_path / "m.last.pt").card
    assert (card.recipe["lessons"], card.base["name"]) == ("supports", "t.pt")
    log = json.loads((tmp_path / "m.log.json").read_text(encoding="utf-8"))
    if log["records"][0]["validation_dsc"] < log["start"]["validation_dsc"]:
        assert (tmp_path / "m.pt").read_bytes() == tiny.read_bytes()  # nothing was better than the start
    capsys.readouterr()
    image = folder / "ann" / "image.nii.gz"
    suggest = ["suggest", str(image), "--support", str(folder), "--source", "support-memory", "-o"]
    status = main([*suggest, str(tmp_path / "d.seg.nrrd"), "--model", str(tmp_path / "m.last.pt")])
    assert status == 0 or "Nothing was found." in capsys.readouterr().err  # after one step


@pytest.mark.slow
def test_a_published_network_is_written_as_what_differs_and_reads_finished_cases(dataset, tmp_path):
    start = tmp_path / "published.pt"
    torch.manual_seed(0)
    weights = build_network(NetworkConfig("sam2.1", "t", 64)).state_dict()
    save_checkpoint(start, weights, Card("sam2.1", "t", 64, name="published"))
    settings = replace(RECIPES["sgp"], steps=1, batch=1, rank=2, validation=0.0)
    finetune(dataset, start, tmp_path / "mine.pt", settings, Conduct(device="cpu", precision="exact"))
    stored = torch.load(tmp_path / "mine.pt", weights_only=True)["model"]
    assert {"mask_attention.values.weight", "image_encoder.trunk.blocks.0.attn.qkv.lora_b_v"} <= stored.keys()
    assert not any(name in weights for name in stored if name.startswith("image_encoder.trunk."))
    mask = np.zeros((SIDE, SIDE), bool)
    mask[20:40, 20:40] = True
    gray = np.where(mask, 0.7, 0.3).astype(np.float32)
    (answer,) = remembering(tmp_path / "mine.pt").ask([Question(gray, mask, [Aligned(gray, mask)])], (1.0, 1.0))
    assert answer.mask.shape == mask.shape


def test_a_target_whose_slices_cannot_be_asked_about_is_not_measured(network):
    class Bookcase:
        def slices(self, _case):
            return 6

        def ask(self, _example, index, _others):  # nothing supports the slices that show the object
            empty = np.zeros((SIDE, SIDE), bool)
            return None if index in (2, 3) else Asked(None, empty, (1.0, 1.0))

    example = Example(Case("ann", "image", "labels"), Target((1,), (2, 3)))
    examiner = SupportExaminer(Bookcase(), [], [example], torch.device("cpu"))
    assert np.isnan(examiner.score(network, CARD)).all()
