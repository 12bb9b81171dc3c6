"""Model files made to fill the memory, to take for ever or to say nonsense: one sentence, in little time and memory."""

import pickle
import re
import struct
import subprocess
import sys
import zipfile
from functools import cache

import pytest
import torch
from small_models import CARD, random_weights, refusal, write_safetensors

from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.networks import bounds
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint, load_network


def write_pickle(path, content, packed=False, storages=()):
    """A file as torch.save lays it out, around a pickle of our own."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        archive.writestr("x/data.pkl", content)
        archive.writestr("x/version", "3\n")
        for number, data in enumerate(storages):
            archive.writestr(f"x/data/{number}", data)


def called(module, name, *arguments):
    """A pickle whose value is what a call returns."""
    words = b"".join(b"M" + struct.pack("<H", word) if word < 2**16 else long(word) for word in arguments)
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"(" + words + b"tR."


def long(number):
    data = pickle.encode_long(number)
    return b"\x8a" + bytes([len(data)]) + data


def many_calls():
    """`OrderedDict` of one long list, again and again: every call would make a copy."""
    pairs = b"](" + b"K\x01K\x02\x86" * 20_000 + b"e"
    return b"\x80\x02ccollections\nOrderedDict\nq\x00" + pairs + b"q\x010](" + b"h\x00h\x01\x85R" * 20_000 + b"e."


def shared_lists(depth=30):
    value = [1.0]
    for _ in range(depth):
        value = [value, value]
    return value


def within_itself():
    value = {}
    value["again"] = value
    return value


def weights(**changed):
    return {**random_weights(), **changed}


def write_sparse(path):
    indices = torch.zeros(1, 1, dtype=torch.int64)
    torch.save(
        weights(no_obj_ptr=torch.sparse_coo_tensor(indices, torch.ones(1), (10**12,), check_invariants=False)), path
    )


def write_views(path):
    numbers = torch.ones(1 << 18)
    torch.save({f"a{n}": numbers.view(1 << 18) for n in range(5000)}, path)


def write_huge_starter(path):
    names = ("0.weight", "1.weight", "1.bias", "2.n1.weight", "2.n1.bias", "2.n2.weight", "2.n2.bias")
    torch.save(weights(**{f"image_encoder.trunk.st.0.{name}": torch.zeros(5000) for name in names}), path)


def write_two_directories(path):
    write_pickle(path, b"\x80\x02}.")
    path.write_bytes(b"PK\x03\x04" + bytes(60) + path.read_bytes())


LISTS = b"\x80\x02(" + b"]" * 4_000_000 + b"l."


def saving(content):
    return lambda path: torch.save(content(), path)


def pickling(content, **options):
    return lambda path: write_pickle(path, content(), **options)


HOSTILE = {
    "stride 0": (saving(lambda: weights(no_obj_ptr=torch.ones(1).expand(1 << 40))), "does not hold the numbers"),
    "no numbers": (saving(lambda: weights(no_mem_embed=torch.zeros(0, 1, 1 << 40))), "does not hold the numbers"),
    "meta": (saving(lambda: weights(a=torch.empty(1 << 40, device="meta"))), "no plain arrays"),
    "sparse": (write_sparse, "no plain arrays"),
    "the same bytes": (write_views, "the same bytes for many tensors"),
    "a wide starter": (write_huge_starter, "width 5000, where 4096 is the limit"),
    "lists in lists": (saving(shared_lists), "holds a list"),
    "lists at a name": (saving(lambda: {"a": torch.ones(1), "b": shared_lists()}), "holds a list at 'b'"),
    "weights in themselves": (saving(lambda: {"model": within_itself()}), "holds no weights"),
    "a set": (saving(lambda: {1, 2}), "holds a set"),
    "a long number as name": (saving(lambda: {10**600: 1, "a": torch.ones(1)}), "a key of type int"),
    "packed": (pickling(lambda: bytes(300 << 20), packed=True), "compressed archive"),
    "a long pickle": (pickling(lambda: LISTS), "far more beside"),
    "many copies": (pickling(many_calls), "more than it holds"),
    "bytes by number": (pickling(lambda: called("builtins", "bytearray", 1 << 40)), "more than it holds"),
    "a tensor by number": (pickling(lambda: called("torch", "Tensor", 60000, 60000)), "instead of weights"),
    "a far memo": (pickling(lambda: b"\x80\x02]r\xff\xff\xff\x7f."), "holds a list"),
    "two directories": (write_two_directories, "not laid out as PyTorch"),
    "an old file": (lambda path: path.write_bytes(LISTS), "far more beside"),
    "a long header": (lambda path: write_safetensors(path, '{"a": [' + "[]," * 3_000_000 + "[]]}"), "damaged"),
}

# Opens the files, and tells how many MiB that has taken at its highest.
CHILD = """
import resource, sys
from SegmentPropagateLib.errors import CheckpointError
from SegmentPropagateLib.networks.checkpoints import inspect_checkpoint

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        inspect_checkpoint(path)
    except CheckpointError:
        pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """`hostile(kind)`: the file, which is written once."""

    @cache
    def write(kind):
        path = tmp_path_factory.mktemp("hostile") / "x.pt"
        HOSTILE[kind][0](path)
        return path

    return write


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_in_one_sentence(hostile, monkeypatch, kind):
    monkeypatch.setattr(bounds, "PICKLE_PIECES", 500_000)  # to be quick; with the real number below
    with pytest.raises(CheckpointError, match=re.escape(HOSTILE[kind][1])) as caught:
        inspect_checkpoint(hostile(kind))
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 500


@pytest.mark.skipif(sys.platform != "linux", reason="measures a process as Linux does")
def test_hostile_files_take_little_memory(hostile):
    kinds = ("stride 0", "the same bytes", "packed", "a long pickle", "many copies", "bytes by number")
    words = [sys.executable, "-c", CHILD, *(str(hostile(kind)) for kind in kinds)]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) < 700


@pytest.mark.parametrize("width", [0, 1, 12, 31, 33, 4096])
@pytest.mark.parametrize("name", ["no_mem_embed", "maskmem_tpos_enc", "image_encoder.trunk.st.0.0.weight"])
def test_sizes_that_no_network_has_are_refused(tmp_path, name, width):
    shape = list(random_weights()[name].shape)
    shape[0 if "trunk" in name else -1] = width
    torch.save(weights(**{name: torch.zeros(shape)}), tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt"):
        load_network(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        *(("image_size", size) for size in (20_000, 0, -32, 100, 10**400, 160.0, True, None)),
        *(("roi_factor", factor) for factor in (0, -1, 0.5, float("inf"), float("nan"), 1e9, "2", True)),
        *(("roi", roi) for roi in ("bogus", "", None, ["auto"])),
        *(("short_slices", count) for count in (0, -1, 10**9, 1.5)),
        *(("intensity", preset) for preset in ("bogus", 3)),
        *(("name", name) for name in ("x" * 1000, b"x", 3)),
        *(("parents", parents) for parents in ({"a": 3}, ["a"], {1: "a"})),
        *(("training_cases", cases) for cases in ("case", [1], {"a"})),
        *(("recipe", recipe) for recipe in ({"a": {1, 2}}, {"a": b"x"}, {"a": float("nan")}, {"a": torch.ones(1)})),
        *(("metrics", metrics) for metrics in ({"a": shared_lists()}, within_itself(), {"a": 2**70}, {(1, 2): 3}, [])),
        ("later", {"a": float("inf")}),
        ("later", "x" * 2_000_000),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, (str, int, float)) else type(value).__name__,
)
def test_every_value_of_a_card_is_checked(tmp_path, entry, value):
    torch.save({"model": random_weights(), "card": {**CARD.to_dict(), entry: value}}, tmp_path / "x.pt")
    assert "The card in" in refusal(tmp_path / "x.pt")


@pytest.mark.parametrize("card", [[1, 2], "mine", {1, 2}, 3])
def test_a_card_that_is_no_table_is_refused(tmp_path, card):
    torch.save({"model": random_weights(), "card": card}, tmp_path / "x.pt")
    assert "The card in" in refusal(tmp_path / "x.pt")
