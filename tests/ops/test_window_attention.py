"""Attention inside window groups: its two ways against plain sums, in float64."""

import pytest
import torch
from torch import nn
from torch.nn.attention import flex_attention as module

from wamim_mm.ops.window_attention import biased_attention, flex_attention
from wamim_mm.ops.windows import relative_index

GROUPS, HEADS, DIMS, SCALE = 3, 2, 5, 0.3


@pytest.fixture(params=[(2, 4), (3, 7), (7, 49)], ids=str)
def given(request):
    """Queries, keys, values and table, and where each slot is: its cell, row and column."""
    window, slots = request.param
    generator = torch.Generator().manual_seed(window)
    qkv = torch.randn(
        GROUPS, slots, 3, HEADS, DIMS, generator=generator, dtype=torch.float64, requires_grad=True
    )
    table = torch.randn((2 * window - 1) ** 2, HEADS, generator=generator, dtype=torch.float64)
    places = torch.randint(window, (2, GROUPS, slots), generator=generator)
    cells = torch.randint(-1, 3, (GROUPS, slots), generator=generator)
    return qkv, table.requires_grad_(), cells, places, window


def summed(qkv, table, cells, places, window):
    """Slot by slot, over the slots of its cell."""
    out = torch.zeros(*qkv.shape[:2], HEADS, DIMS, dtype=qkv.dtype)
    rows, columns = places.tolist()
    for group, slots in enumerate(cells.tolist()):
        for head in range(HEADS):
            for i, cell in enumerate(slots):
                total = torch.zeros((), dtype=qkv.dtype)
                for j in (j for j, other in enumerate(slots) if other == cell):
                    down = rows[group][i] - rows[group][j] + window - 1
                    right = columns[group][i] - columns[group][j] + window - 1
                    product = qkv[group, i, 0, head] @ qkv[group, j, 1, head] * SCALE
                    weight = (product + table[down * (2 * window - 1) + right, head]).exp()
                    out[group, i, head] += weight * qkv[group, j, 2, head]
                    total = total + weight
                out[group, i, head] /= total
    return out.flatten(2)


def biased(qkv, table, cells, places, window):
    offsets = places[0] * (2 * window - 1) + places[1]
    relative = relative_index(cells, offsets, window)
    return biased_attention(qkv, table, relative, SCALE, nn.Identity())


def flex(qkv, table, cells, places, window):
    offsets = places[0] * (2 * window - 1) + places[1]
    return flex_attention(qkv, table, cells, offsets, window, SCALE)


@pytest.fixture
def backward_on_a_cpu(monkeypatch):
    """PyTorch has it as a reference only, and refuses it to users."""
    monkeypatch.setattr(module, '_validate_device', lambda query, key, value: None)


@pytest.mark.parametrize('attention', [biased, flex])
@pytest.mark.usefixtures('backward_on_a_cpu')
def test_it_is_the_sum(attention, given):
    with torch.no_grad():
        expected = summed(*given)
    torch.testing.assert_close(attention(*given).detach(), expected, atol=1e-12, rtol=0)


@pytest.mark.usefixtures('backward_on_a_cpu')
def test_gradients(given):
    qkv, table, *_ = given
    weight = torch.randn(*qkv.shape[:2], HEADS * DIMS, dtype=torch.float64)
    expected = torch.autograd.grad((biased(*given) * weight).sum(), (qkv, table))
    found = torch.autograd.grad((flex(*given) * weight).sum(), (qkv, table))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


def test_gradients_by_differences():
    """Of the one that the other is held against."""
    qkv = torch.randn(1, 4, 3, HEADS, DIMS, dtype=torch.float64, requires_grad=True)
    table = torch.randn(9, HEADS, dtype=torch.float64, requires_grad=True)
    cells = torch.tensor([[0, 0, 1, -1]])
    places = torch.tensor([[[0, 0, 1, 0]], [[0, 1, 0, 0]]])
    assert torch.autograd.gradcheck(
        lambda qkv, table: biased(qkv, table, cells, places, 2), (qkv, table)
    )


@pytest.mark.usefixtures('backward_on_a_cpu')
def test_the_compiler_takes_it(monkeypatch):
    """As one graph for any number of groups; its code for a CPU is torch's own and left out."""
    options = dict(dynamic=True, fullgraph=True, backend='aot_eager')
    monkeypatch.setattr(module, 'flex_attention', torch.compile(module.flex_attention, **options))
    table = torch.randn(169, HEADS, requires_grad=True)
    for groups in (3, 5, 8):
        qkv = torch.randn(groups, 49, 3, HEADS, 32, requires_grad=True)
        cells, places = torch.randint(-1, 3, (groups, 49)), torch.randint(7, (2, groups, 49))
        given = (qkv, table, cells, places, 7)
        results = []
        for out in (biased(*given), flex(*given)):
            results.append((out, *torch.autograd.grad(out.square().sum(), (qkv, table))))
        for a, b in zip(*results, strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
def test_on_a_gpu(dtype):
    torch.manual_seed(0)
    qkv = torch.randn(64, 49, 3, 4, 32, device='cuda', dtype=dtype, requires_grad=True)
    table = torch.randn(169, 4, device='cuda', requires_grad=True)
    cells = torch.randint(-1, 4, (64, 49), device='cuda')
    places = torch.randint(7, (2, 64, 49), device='cuda')
    atol = 1e-2 if dtype == torch.float32 else 5e-2  # TF32's products; bfloat16's rounding
    results = []
    for attention in (biased, flex):
        out = attention(qkv, table, cells, places, 7)
        results.append((out, *torch.autograd.grad(out.float().square().mean(), (qkv, table))))
    torch.testing.assert_close(results[1][0], results[0][0], atol=atol, rtol=atol)
    for a, b in zip(results[1][1:], results[0][1:], strict=True):
        assert (a - b).norm() < 2 * atol * b.norm()


def test_gradients_of_a_table_are_summed_in_float32(monkeypatch):
    """A sharded Swin gathers its table in bfloat16, in which a sum over all pairs stands still."""
    seen = []
    select = torch.Tensor.index_select
    monkeypatch.setattr(
        torch.Tensor, 'index_select', lambda x, *args: seen.append(x.dtype) or select(x, *args)
    )
    qkv = torch.randn(2, 4, 3, 1, 8, dtype=torch.bfloat16)
    table = torch.randn(9, 1, dtype=torch.bfloat16, requires_grad=True)
    cells, offsets = torch.zeros(2, 4, dtype=torch.long), torch.arange(4).expand(2, 4)
    relative = relative_index(cells, offsets, window=2)
    out = biased_attention(qkv, table, relative, 1.0, torch.nn.Identity())
    out.sum().backward()
    assert seen == [torch.float32] and out.dtype == table.grad.dtype == torch.bfloat16
