"""Linear layers and attention in the forms of a CPU give what those of torch give."""

import pytest
import torch
from torch.nn import functional

from SegmentPropagateLib.propagators.tracking.products import Linear, attend, attend_in_blocks, chain

TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 0.03}


def random(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape) + shape[-1])).to(dtype)


def relative_error(ours, exact):
    return float((ours.float() - exact).abs().max() / exact.abs().max())


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("shape", [(7, 24), (2, 5, 24)])
@torch.inference_mode()
def test_a_linear_layer_gives_what_that_of_torch_gives(shape, dtype):
    weight, bias, x = random(40, 24), random(40), random(*shape)
    found = Linear(weight, bias, dtype)(x.to(dtype))
    assert found.dtype == dtype
    assert relative_error(found, functional.linear(x, weight, bias)) < TOLERANCES[dtype]


# (heads, queries, keys): windows; more than one block of queries, which does not divide them; pooled queries.
@pytest.mark.parametrize("sizes", [(3, 16, 16), (2, 700, 700), (3, 4, 16)])
@pytest.mark.parametrize("dtype", TOLERANCES)
@torch.inference_mode()
def test_attention_gives_what_that_of_torch_gives(sizes, dtype):
    heads, queries, keys = sizes
    parts = [random(2, heads, count, 24) + 0.1 * place for place, count in enumerate((queries, keys, keys))]
    exact = functional.scaled_dot_product_attention(*parts)
    assert relative_error(attend(*(part.to(dtype) for part in parts)), exact) < TOLERANCES[dtype]


@pytest.mark.parametrize("dtype", TOLERANCES)
@torch.inference_mode()
def test_scores_are_added_before_the_softmax(dtype):
    queries, keys, values = random(2, 3, 8, 24), random(2, 3, 9, 24), random(2, 3, 9, 25)[..., :24]
    scores = random(8, 9)
    exact = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=scores)
    found = attend(*(part.to(dtype) for part in (queries, keys, values)), scores)
    assert relative_error(found, exact) < TOLERANCES[dtype]


@torch.inference_mode()
def test_values_may_be_narrower_than_keys():
    queries, keys, values = random(2, 600, 24), random(2, 40, 24), random(2, 40, 8)
    exact = functional.scaled_dot_product_attention(queries, keys, values)
    assert relative_error(attend_in_blocks(queries, keys, values), exact) < TOLERANCES[torch.float32]


@torch.inference_mode()
def test_two_layers_become_one():
    first, second, x = torch.nn.Linear(6, 8), torch.nn.Conv2d(8, 3, 1), random(5, 6)
    exact = second(first(x).T[None, :, :, None])[0, :, :, 0].T
    assert relative_error(functional.linear(x, *chain(first, second)), exact) < TOLERANCES[torch.float32]
