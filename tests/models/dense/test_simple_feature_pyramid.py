"""SimpleFeaturePyramid against the same arithmetic in float64 and by hand."""

import pytest
import torch
import torch.nn.functional as F

from wamim_mm import SimpleFeaturePyramid


def layer_norm(x, norm):
    """Normalize the channels of every position, by hand."""
    mean = x.mean(1, keepdim=True)
    variance = ((x - mean) ** 2).mean(1, keepdim=True)
    x = (x - mean) / (variance + 1e-6).sqrt()
    return x * norm.weight[:, None, None] + norm.bias[:, None, None]


def double(x, deconv):
    """A transposed convolution with kernel 2 and stride 2: every position becomes a 2 x 2 block."""
    blocks = torch.einsum('nchw,cdij->ndhiwj', x, deconv.weight)
    return blocks.flatten(4).flatten(2, 3) + deconv.bias[:, None, None]


def pyramid_by_hand(neck, x):
    first, norm, _, second = neck.scales[0]
    scales = [
        double(F.gelu(layer_norm(double(x, first), norm)), second),
        double(x, neck.scales[1]),
        x,
        x[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]
        .unflatten(3, (-1, 2))
        .unflatten(2, (-1, 2))
        .amax((3, 5)),
    ]
    outs = []
    for scale, (one, three) in zip(scales, neck.convs, strict=True):
        lateral = torch.einsum('nchw,dc->ndhw', scale, one.conv.weight[:, :, 0, 0])
        lateral = F.conv2d(layer_norm(lateral, one.norm), three.conv.weight, padding=1)
        outs.append(layer_norm(lateral, three.norm))
    return [*outs, outs[-1][..., ::2, ::2]]


@pytest.mark.parametrize('grid', [(4, 6), (5, 7), (2, 3)], ids=str)
def test_against_arithmetic_by_hand(grid):
    neck = SimpleFeaturePyramid(in_channels=16, out_channels=8).double()
    for parameter in neck.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 16, *grid, dtype=torch.float64)
    outs = neck((torch.zeros(1), x))  # the last feature is the one that counts
    height, width = grid
    half = (height // 2, width // 2)
    sides = [(4 * height, 4 * width), (2 * height, 2 * width), grid, half]
    sides.append(tuple((side + 1) // 2 for side in half))
    assert [out.shape for out in outs] == [(2, 8, *side) for side in sides]
    for out, expected in zip(outs, pyramid_by_hand(neck, x), strict=True):
        torch.testing.assert_close(out, expected)


def test_every_parameter_gets_a_gradient():
    neck = SimpleFeaturePyramid(in_channels=16)
    outs = neck((torch.randn(1, 16, 4, 4),))
    assert [out.shape[1] for out in outs] == [256] * 5
    sum(out.square().sum() for out in outs).backward()
    assert all(parameter.grad.any() for parameter in neck.parameters())
