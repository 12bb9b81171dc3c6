"""A name or a file becomes a propagator; what this computer lacks is said in one sentence."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_models import SMALL, constant_weights

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.files import file_sha256
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.models.devices import choose_device, choose_precision, one_core_less
from SegmentPropagateLib.models.loading import load_model
from SegmentPropagateLib.networks.build import expected_shapes
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.checkpoints import save_checkpoint
from SegmentPropagateLib.networks.families import FAMILIES
from SegmentPropagateLib.propagators.finishing import FinishingPropagator
from SegmentPropagateLib.propagators.tracking.engine import NetworkPropagator

ROOT = Path(__file__).resolve().parents[2]
STARTER = FAMILIES["starter"]


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "mine.pt"
    state = {name: torch.zeros(shape) for name, shape in expected_shapes(SMALL).items()}
    save_checkpoint(path, state, Card("starter", "conv", 96, name="mine"))
    return path


@pytest.fixture
def hardware(monkeypatch):
    """Pretend to have some hardware."""

    def pretend(cuda=0, mps=False, capability=(8, 0), amx=False, avx512_bf16=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16, raising=False)

    return pretend


def test_a_file_becomes_a_propagator(model_file):
    model = load_model(model_file, device="cpu", precision="exact")
    assert model.info["family"] == "starter"
    assert model.info["device"] == "cpu"
    assert model.info["precision"] == "exact"
    assert model.info["sha256"] == file_sha256(model_file)


def test_a_registered_name_becomes_its_file(model_file, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "bundled_folder", lambda: tmp_path)
    model_file.rename(tmp_path / "starter.pt")
    assert load_model("starter", device="cpu").info["family"] == "starter"


@pytest.mark.parametrize("name", ["starter", "mine.pt"])
def test_the_partner_of_a_starter_comes_along_with_its_name_and_its_file(model_file, tmp_path, monkeypatch, name):
    monkeypatch.setattr(registry, "bundled_folder", lambda: tmp_path)
    shutil.copy(model_file, tmp_path / "starter.pt")
    wanted = name if name in registry.REGISTRY else tmp_path / name
    assert load_model(wanted, device="cpu").info["partner"] == "classical"
    alone = load_model(wanted, device="cpu", partner=False)
    assert "partner" not in alone.info
    assert isinstance(alone, FinishingPropagator)


def test_a_network_as_published_has_a_partner_only_where_one_is_asked_for(tmp_path):
    torch.save(constant_weights("sam2.1"), tmp_path / "x.pt")
    assert isinstance(load_model(tmp_path / "x.pt", "cpu", image_size=64), NetworkPropagator)
    assert load_model(tmp_path / "x.pt", "cpu", image_size=64, partner=True).info["partner"] == "classical"


def test_lists_tell_the_image_size_that_a_file_will_be_given():
    sizes = {name: model.image_size for name, model in registry.REGISTRY.items()}
    assert sizes["starter"] == 160
    assert sizes["classical"] is None
    assert {size for name, size in sizes.items() if name.startswith("sam2.1-")} == {1024}
    assert {size for name, size in sizes.items() if name.startswith("medsam2-")} == {512}


def test_an_unknown_name_is_refused_with_the_closest_names():
    with pytest.raises(InputError, match=r"no model or model file 'sam2\.1-tny'.*sam2\.1-tiny") as caught:
        load_model("sam2.1-tny")
    assert "classical" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_file_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no model or model file '.*gone\.pt'"):
        load_model(tmp_path / "gone.pt")


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_a_name_means_the_model_even_beside_a_file_or_folder_of_that_name(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    make(Path("starter"))
    make(Path("mine.pt"))
    assert registry.resolve("starter") is registry.REGISTRY["starter"]
    assert registry.resolve("./starter") == registry.resolve(Path("starter")) == Path("starter")
    assert registry.resolve("mine.pt") == Path("mine.pt")
    assert main(["inspect", "starter"]) == 0
    assert load_model("starter", device="cpu").info["family"] == "starter"


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("have", "device"),
    [({}, "cpu"), ({"mps": True}, "mps"), ({"cuda": 1}, "cuda"), ({"cuda": 1, "mps": True}, "cuda")],
)
def test_the_automatic_device_is_the_quickest_there_is(hardware, have, device):
    hardware(**have)
    assert choose_device("auto").type == device


def test_a_certain_gpu_can_be_chosen(hardware):
    hardware(cuda=2)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("threads", "meanwhile"), [(3, 2), (1, 1)])
def test_a_core_is_left_to_others_and_taken_back(threads, meanwhile):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with one_core_less():
            assert torch.get_num_threads() == meanwhile
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("have", "device", "sentence"),
    [
        ({}, "cuda", "no CUDA GPU that PyTorch can use: choose auto or cpu."),
        ({}, "cuda:3", "no CUDA GPU that PyTorch can use: choose auto or cpu."),
        ({"cuda": 2}, "cuda:2", "no GPU cuda:2: the last one is cuda:1."),
        ({"cuda": 1}, "mps", "no Apple GPU"),
        ({}, "tpu", "no device 'tpu': choose auto, cpu, cuda, cuda:N or mps."),
        ({}, "cuda:", "no device 'cuda:'"),
        ({}, "CPU", "no device 'CPU'"),
    ],
)
def test_a_device_that_is_not_there_is_refused(hardware, have, device, sentence):
    hardware(**have)
    with pytest.raises(InputError, match=sentence):
        choose_device(device)


@pytest.mark.parametrize(
    ("have", "device", "precision"),
    [
        ({}, "cpu", "exact"),
        ({"amx": True}, "cpu", "bf16"),
        ({"avx512_bf16": True}, "cpu", "bf16"),
        ({"mps": True, "amx": True}, "mps", "exact"),
        ({"cuda": 1}, "cuda", "bf16"),
        ({"cuda": 1, "capability": (7, 5), "amx": True}, "cuda", "exact"),
    ],
)
def test_the_automatic_precision_follows_the_hardware(hardware, have, device, precision):
    hardware(**have)
    assert choose_precision("auto", torch.device(device)) == precision
    assert choose_precision("exact", torch.device(device)) == "exact"


def test_the_small_family_stays_exact_on_a_cpu_unless_asked(hardware):
    hardware(amx=True, cuda=1)
    assert choose_precision("auto", torch.device("cpu"), STARTER) == "exact"
    assert choose_precision("bf16", torch.device("cpu"), STARTER) == "bf16"
    assert choose_precision("auto", torch.device("cuda"), STARTER) == "bf16"


def test_bf16_is_refused_where_it_would_take_hours(hardware):
    hardware()
    with pytest.raises(InputError, match="no bf16 units"):
        choose_precision("bf16", torch.device("cpu"))
    hardware(amx=True)
    assert choose_precision("bf16", torch.device("cpu")) == "bf16"


def test_an_unknown_precision_is_refused():
    with pytest.raises(InputError, match="choose auto, exact or bf16"):
        choose_precision("fp8", torch.device("cpu"))


def run_without(package, code):
    """Run code in a fresh Python that cannot import a package; what it prints."""
    block = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {package!r}:\n"
        f"            raise ModuleNotFoundError('No module named ' + repr(name), name=name)\n"
        "sys.meta_path.insert(0, Block())\n"
    )
    result = subprocess.run([sys.executable, "-c", block + code], cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout


def test_classical_works_without_torch():
    code = (
        "import numpy as np\n"
        "from SegmentPropagateLib.models.loading import load_model\n"
        "from SegmentPropagateLib.propagation.propagator import ImageStack, Lane, PropagationSettings\n"
        "gray = np.zeros((4, 48, 48), np.uint8); gray[:, 12:36, 12:36] = 200\n"
        "model = load_model('classical')\n"
        "model.open(ImageStack(gray, gray, (1.0, 1.0, 1.0)), PropagationSettings())\n"
        "updates = list(model.run([Lane(1, (0,), (range(1, 4),))], {1: {0: gray[0] > 0}}))\n"
        "assert all(update.mask[24, 24] for update in updates)\n"
        "print(len(updates), 'torch' in sys.modules)\n"
    )
    assert run_without("torch", code).split() == ["3", "False"]


@pytest.mark.parametrize("package", ["torch", "sam2"])
def test_without_torch_a_network_is_refused_in_one_sentence(package):
    code = (
        "from SegmentPropagateLib.models.loading import load_model\n"
        "from SegmentPropagateLib.errors import InputError\n"
        "try:\n"
        "    load_model('starter')\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    said = run_without(package, code)
    assert said.startswith("The model 'starter' needs PyTorch and sam2")
    assert f"No module named '{package}" in said
    assert "choose the model 'classical'" in said
    assert said.count("\n") == 1
