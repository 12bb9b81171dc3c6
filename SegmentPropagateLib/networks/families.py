"""The families of networks: all in which they differ, and which one a state dict belongs to; knows no torch.

A new family is a `Family` here, a file that builds its network, and a line in `build.BUILDERS`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from SegmentPropagateLib.errors import CheckpointError, InputError

Shapes = Mapping[str, tuple[int, ...]]
"""Name -> shape of every tensor of a state dict."""

Named = TypeVar("Named")

# embed_dim, heads, blocks per stage, blocks with global attention, size of the coarse position table, windows per stage
# (sam2/configs/sam2.1/*.yaml; MedSAM2 and SLM-SAM 2 use the same trunks).
HIERA_TRUNKS: Mapping[str, Mapping[str, Any]] = {
    "t": {
        "embed_dim": 96,
        "num_heads": 1,
        "stages": (1, 2, 7, 2),
        "global_att_blocks": (5, 7, 9),
        "window_pos_embed_bkg_spatial_size": (7, 7),
        "window_spec": (8, 4, 14, 7),
    },
    "s": {
        "embed_dim": 96,
        "num_heads": 1,
        "stages": (1, 2, 11, 2),
        "global_att_blocks": (7, 10, 13),
        "window_pos_embed_bkg_spatial_size": (7, 7),
        "window_spec": (8, 4, 14, 7),
    },
    "b+": {
        "embed_dim": 112,
        "num_heads": 2,
        "stages": (2, 3, 16, 3),
        "global_att_blocks": (12, 16, 20),
        "window_pos_embed_bkg_spatial_size": (14, 14),
        "window_spec": (8, 4, 14, 7),
    },
    "l": {
        "embed_dim": 144,
        "num_heads": 2,
        "stages": (2, 6, 36, 4),
        "global_att_blocks": (23, 33, 43),
        "window_pos_embed_bkg_spatial_size": (7, 7),
        "window_spec": (8, 4, 16, 8),
    },
}


@dataclass(frozen=True)
class StarterShape:
    """Sizes of the starter network; all of them show in the shapes of its state dict.

    Args:
        stage_channels: channels of the four convolutional stages, at strides 2, 4, 8 and 16; multiples of 8.
        stage_blocks: residual blocks per stage.
        width: channels of the image features and tokens.
        memory_width: channels of a stored memory.
        attention_layers: layers in each of the two memory attentions.
        attention_mlp: hidden width of their feed-forward part.
        decoder_mlp: hidden width of the mask decoder's transformer.
        iou_mlp: hidden width of the head that predicts the mask's IoU.
    """

    stage_channels: tuple[int, int, int, int] = (24, 48, 96, 128)
    stage_blocks: tuple[int, int, int, int] = (1, 1, 2, 1)
    width: int = 96
    memory_width: int = 32
    attention_layers: int = 1
    attention_mlp: int = 192
    decoder_mlp: int = 256
    iou_mlp: int = 64


IMAGE_SIZES = "a multiple of 32 from 64 to 2048 pixels"


def is_image_size(pixels: int) -> bool:
    """Whether networks can see squares of that side."""
    return 64 <= pixels <= 2048 and pixels % 32 == 0


@dataclass(frozen=True)
class NetworkConfig:
    """Which network to build.

    Args:
        family: a name of `FAMILIES`.
        variant: size of the Hiera trunk (`t`, `s`, `b+`, `l`); for the starter `conv`, or `conv+lite0` with a
            pretrained trunk beside its own.
        image_size: side of the square input in pixels, a multiple of 32; weights do not depend on it.
        starter: sizes of the starter network; other families ignore it.
        mask_attention: whether it can look twice; see `networks.mask_attention`.
        prompt_grays: how many bins of gray values its file knows; see `networks.prompt_grays`.
    """

    family: str
    variant: str
    image_size: int = 1024
    starter: StarterShape = field(default_factory=StarterShape)
    mask_attention: bool = False
    prompt_grays: int = 0

    def __post_init__(self) -> None:
        if self.family not in FAMILIES or self.variant not in self.record.variants:
            raise InputError(f"There is no network of family {self.family!r} and variant {self.variant!r}.")
        if not is_image_size(self.image_size):
            raise InputError(f"The image size must be {IMAGE_SIZES}, got {self.image_size}.")

    @property
    def record(self) -> Family:
        """The family's record."""
        return find_family(self.family)


def find_family(name: str) -> Family:
    """Return the record of a family.

    Raises:
        InputError: no family has the name; the message lists them.
    """
    if name not in FAMILIES:
        raise InputError(f"There is no family of networks '{name}': there are {', '.join(FAMILIES)}.")
    return FAMILIES[name]


def prefix_of(names: Collection[str]) -> str:
    """What stands before the network's own names in all names of a state dict, such as `module.` or `model._orig_mod.`.

    Programs that compile, distribute or wrap a network save it as a part of another.

    Returns:
        The shortest beginning, up to a dot and common to all names, without which they are those of a known network;
        empty where there is none.
    """
    parts = next(iter(names), "").split(".")[:-1][:WRAPPED_AT_MOST]
    for count in range(len(parts) + 1):
        start = "".join(f"{part}." for part in parts[:count])
        if not all(name.startswith(start) for name in names):
            break
        if _is_known([name[len(start) :] for name in names]):
            return start
    return ""


def _is_known(names: Collection[str]) -> bool:
    return any(name.startswith(family.trunk) for family in FAMILIES.values() for name in names) or any(
        re.match(mark, name) for mark in _FOREIGN for name in names
    )


def recognize(shapes: Shapes, image_size: int | None, origin: str) -> NetworkConfig:
    """Tell which network a state dict belongs to.

    Single missing or odd tensors do not matter here: the strict comparison with the network's own list names them.

    Args:
        shapes: of the state dict.
        image_size: for the network; None takes the family's own.
        origin: what to call the state dict in messages, such as the file's path.

    Raises:
        CheckpointError: it is no network of ours; the message says what it is where that is known.
    """
    refuse_foreign(shapes, origin)
    family = next((family for family in FAMILIES.values() if family.owns(shapes)), None)
    if family is None:
        trunks = [family.trunk for family in FAMILIES.values()]
        parts = {name.partition(trunk)[0] for trunk in trunks for name in shapes if trunk in name}
        if parts:
            raise CheckpointError(
                f"{origin} holds a network under {' and '.join(repr(part) for part in sorted(parts)[:3])} beside other "
                "tensors: save the network that you want in a file of its own."
            )
        examples = ", ".join(list(shapes)[:3]) or "none"
        raise CheckpointError(
            f"{origin} holds no SAM 2 network (its {len(shapes)} tensors begin with {examples}): {_INSTEAD}."
        )
    size = family.image_size if image_size is None else image_size
    has_more = any(name.startswith("mask_attention.") for name in shapes)
    bins = next(iter(shapes.get("prompt_grays.ratio", ())), 0)
    return NetworkConfig(
        family.name, image_size=size, mask_attention=has_more, prompt_grays=bins, **family.measure(shapes, origin)
    )


def refuse_foreign(names: Iterable[str], origin: str) -> None:
    """Raise CheckpointError where names of tensors give another kind of network away."""
    for name in names:
        kind = next((kind for mark, kind in _FOREIGN.items() if re.match(mark, name)), None)
        if kind is not None:
            raise CheckpointError(f"{origin} holds {kind}, which cannot run here: {_INSTEAD}.")


WRAPPED_AT_MOST = 8
"""Parts of a name, between dots, in which a prefix is looked for."""

_INSTEAD = "give a SAM 2, MedSAM2 or SLM-SAM 2 file"

# Beginnings of tensor names that give another kind of network away.
_FOREIGN: Mapping[str, str] = {
    r"(image_encoder\.blocks\.|image_encoder\.neck\.0\.|mask_decoder\.)": "a SAM 1 or MedSAM 1 network",
    r"(vision_encoder\.|model\.vision_encoder\.)": "a SAM 2 network of the transformers library",
    r"(rdr|mss)\.": "a localizer of landmarks, for suggest --localizer",
    r"(encoder\.stages\.|conv_blocks_context\.|decoder\.seg_layers\.)": "an nnU-Net network",
}


def _measure_hiera(shapes: Shapes, origin: str) -> dict[str, Any]:
    trunk = "image_encoder.trunk."
    if len(shapes.get(trunk + "pos_embed", ())) == 3:
        raise CheckpointError(
            f"{origin} holds an EfficientTAM or EfficientMedSAM network (plain ViT trunk), which cannot "
            f"run here: {_INSTEAD}."
        )
    width = _most_said(shapes, r"image_encoder\.trunk\.(patch_embed\.proj|blocks\.0\.norm1)\.(weight|bias)", 0) or 0
    depth = _count(shapes, trunk + r"blocks\.(\d+)\.")
    for variant, sizes in HIERA_TRUNKS.items():
        if (sizes["embed_dim"], sum(sizes["stages"])) == (width, depth):
            return {"variant": variant}
    raise CheckpointError(
        f"{origin} has an image encoder of width {width} with {depth} blocks, which is "
        f"none of SAM 2's sizes {', '.join(HIERA_TRUNKS)}: {_INSTEAD}."
    )


STARTER_LARGEST = 4096
"""Widest layer of a starter network that is built; a forged file must not ask for gigabytes."""


_STAGE = r"image_encoder\.trunk\.st\.{}\.(0\.weight|\d+\.(c1|c2|n1|n2)\.weight|\d+\.(n1\.|n2\.)?bias)"
_ATTENTION = r"(recent_)?memory_attention\.layers\.\d+\."
_STARTER_SIZES: Mapping[str, tuple[str, int]] = {
    "width": (rf"{_ATTENTION}norm\d\.|image_encoder\.neck\.convs\.\d\.conv\.bias|no_mem_embed", -1),
    "memory_width": (rf"{_ATTENTION}cross_attn_image\.[kv]_proj\.weight|maskmem_tpos_enc|no_obj_embed_spatial", -1),
    "attention_mlp": (rf"{_ATTENTION}linear1\.", 0),
    "decoder_mlp": (r"sam_mask_decoder\.transformer\.layers\.\d\.mlp\.layers\.0\.", 0),
    "iou_mlp": (r"sam_mask_decoder\.iou_prediction_head\.layers\.[01]\.", 0),
}
"""Size of a starter -> beginnings of the names of tensors that have it, and on which axis."""


def _measure_starter(shapes: Shapes, origin: str) -> dict[str, Any]:
    def size(what: str, pattern: str, axis: int) -> int:
        said = _most_said(shapes, pattern, axis)
        if said is None:
            raise CheckpointError(f"{origin} is a starter network without any tensor of its {what}: get it again.")
        return said

    channels = _four(size(f"stage {stage}", _STAGE.format(stage), 0) for stage in range(4))
    sizes = {name: size(name.replace("_", " "), *place) for name, place in _STARTER_SIZES.items()}
    shape = StarterShape(
        stage_channels=channels,
        stage_blocks=_four(_blocks(shapes, stage) for stage in range(4)),
        attention_layers=_count(shapes, r"memory_attention\.layers\.(\d+)\."),
        **sizes,
    )
    largest = max(*channels, *sizes.values())
    if largest > STARTER_LARGEST:
        raise CheckpointError(
            f"{origin} is a starter network of width {largest}, where {STARTER_LARGEST} is the limit: get it again."
        )
    has_lite0 = any(name.startswith("image_encoder.trunk.lite.") for name in shapes)
    return {"variant": "conv+lite0" if has_lite0 else "conv", "starter": shape}


def _blocks(shapes: Shapes, stage: int) -> int:
    return max(0, _count(shapes, rf"image_encoder\.trunk\.st\.{stage}\.(\d+)\.") - 2)  # after convolution and norm


def _four(values: Iterable[int]) -> tuple[int, int, int, int]:
    first, second, third, fourth = values
    return first, second, third, fourth


def _most_said(shapes: Shapes, pattern: str, axis: int) -> int | None:
    """The size that most tensors whose names begin like this have on an axis; None without any.

    One tensor of a wrong shape changes no size: the strict comparison then finds it alone at fault.
    """
    said = Counter(shape[axis] for name, shape in shapes.items() if shape and re.match(pattern, name))
    return said.most_common(1)[0][0] if said else None


def _count(shapes: Shapes, pattern: str) -> int:
    """One more than the highest number that the pattern's group takes among the names."""
    found = (re.match(pattern, name) for name in shapes)
    highest = max((int(match[1]) for match in found if match), default=-1)
    return min(highest + 1, len(shapes))  # a forged name must not ask for a billion layers


@dataclass(frozen=True, eq=False)
class Family:
    """What the rest of the library asks of a family of networks; the defaults are those of SAM 2 as published.

    Args:
        name: as cards, lists and messages have it.
        variants: sizes that it comes in.
        trunk: how the names of its image encoder's tensors begin.
        mark: pattern at the beginning of a tensor's name that tells it from families with the same trunk.
        measure: takes shapes and what to call them; gives the variant, and sizes, as arguments of `NetworkConfig`.
        unread: tensors that no network reads and a file may lack, each with one that has the same shape.
        image_size: side of the square that it sees, in pixels, where neither card nor file name say it.
        named_sizes: pattern of file names -> image size.
        appearance: gray as RGB, or three windows of the volume's own values chosen for the object.
        roi: `auto` where it expects to see a crop around the object, `off` for whole slices.
        roi_factor: side of such a crop over the longer side of the object's bounding box.
        cache_mb: bound of the image features kept.
        exact_on_cpu: whether it gains nothing from bf16 on a CPU; exact, it gives the same masks on every computer.
        partner: whether its masks are averaged with those of the classical propagator.
        finishing: whether its masks taper and are smoothed from slice to slice; otherwise they are exactly as upstream.
        recipe: how it is fine-tuned unless the user says otherwise.
        named_recipes: pattern of file names -> recipe that goes before it.
        with_short_memory: family that it is fine-tuned to by default, with a short memory; empty for none.
    """

    name: str
    variants: tuple[str, ...] = tuple(HIERA_TRUNKS)
    trunk: str = "image_encoder.trunk.blocks."
    mark: str = ""
    measure: Callable[[Shapes, str], Mapping[str, Any]] = _measure_hiera
    unread: Mapping[str, str] = field(default_factory=dict)
    image_size: int = 1024
    # MedSAM2_latest.pt, sam2.1_hiera_t512.pt: MedSAM2 has the tensors of SAM 2.1 tiny.
    named_sizes: Mapping[str, int] = field(default_factory=lambda: {r"medsam2|(?<!\d)512(?!\d)": 512})
    appearance: Literal["rgb", "windows"] = "rgb"
    roi: Literal["auto", "off"] = "off"
    roi_factor: float = 2.0
    cache_mb: float = 220.0  # 44 slices of 512 x 512 or 11 of 1024 x 1024 pixels; 200 slices then take below 1.2 GiB
    exact_on_cpu: bool = False
    partner: bool = False
    finishing: bool = False
    recipe: str = "slm-sam2"
    named_recipes: Mapping[str, str] = field(default_factory=lambda: {"medsam2": "medsam2"})
    with_short_memory: str = ""

    def owns(self, shapes: Shapes) -> bool:
        """Whether a state dict is of this family or of a more special one that stands before it in `FAMILIES`."""
        has_trunk = any(name.startswith(self.trunk) for name in shapes)
        return has_trunk and any(re.match(self.mark, name) for name in shapes)

    def image_size_of(self, file_name: str) -> int | None:
        """The image size that the name of a file tells; None where it does not."""
        return _first_named(self.named_sizes, file_name)

    def recipe_of(self, file_name: str) -> str:
        """How a file of that name is fine-tuned unless the user says otherwise."""
        return _first_named(self.named_recipes, file_name) or self.recipe


def _first_named(table: Mapping[str, Named], file_name: str) -> Named | None:
    return next((value for mark, value in table.items() if re.search(mark, file_name, re.IGNORECASE)), None)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for family in (  # the special ones first: a state dict belongs to the first that owns it
            Family(
                "starter",
                variants=("conv", "conv+lite0"),
                trunk="image_encoder.trunk.st.",
                measure=_measure_starter,
                # Weights trained at 128 had a DSC of .742 at 128, .762 at 160 and .755 at 192 on 32 organs that are
                # not among the evaluation's targets, with the range given.
                image_size=160,
                named_sizes={},
                appearance="windows",
                roi="auto",
                cache_mb=32.0,  # 36 slices of 160 x 160; 200 then take below 0.7 GiB. One again takes 15 ms.
                exact_on_cpu=True,  # 10 ms per slice either way with AVX512-BF16, which halves the large ones' time
                partner=True,
                finishing=True,
                recipe="starter",
                named_recipes={},
            ),
            Family(
                "slm-sam2",
                mark=r"recent_memory_attention\.",
                unread={"rec_maskmem_tpos_enc": "maskmem_tpos_enc"},
            ),
            Family(
                "sam2.1",
                mark=r"(no_obj_embed_spatial|obj_ptr_tpos_proj\.weight)$",
                with_short_memory="slm-sam2",
            ),
            Family("sam2"),
        )
    }
)
