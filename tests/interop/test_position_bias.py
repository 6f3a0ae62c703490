"""mmpretrain's resizing of relative position tables with the SciPy of this environment."""

import pytest
import torch
from mmpretrain.models import SwinTransformer
from mmpretrain.models.utils import resize_relative_position_bias_table
from scipy.interpolate import CubicSpline


def geometric_axis(source, target):
    """The source's offsets in units of the target: distances grow geometrically to its edge."""
    half, edge = source // 2, target // 2
    low, high = 1.01, 1.5  # mmpretrain's limits of the growth
    for _ in range(100):
        middle = (low + high) / 2
        if sum(middle**i for i in range(half)) > edge:
            high = middle
        else:
            low = middle
    distances = [sum(low**i for i in range(n + 1)) for n in range(half)]
    return [-d for d in reversed(distances)] + [0, *distances]


@pytest.mark.parametrize(('source', 'target'), [(7, 13), (13, 15), (13, 27)])
def test_equals_a_product_of_cubic_splines(source, target):
    """Not-a-knot cubic splines, first along one axis and then along the other."""
    torch.manual_seed(0)
    table = torch.randn(source**2, 3)
    resized = resize_relative_position_bias_table(source, target, table, 3)
    assert resized.shape == (target**2, 3)

    axis = geometric_axis(source, target)
    new = [min(max(i - target // 2, axis[0]), axis[-1]) for i in range(target)]
    grid = table.double().view(source, source, 3).numpy()
    expected = CubicSpline(axis, CubicSpline(axis, grid, axis=0)(new), axis=1)(new)
    assert torch.allclose(resized.double(), torch.from_numpy(expected).reshape(-1, 3), atol=1e-3)


def test_swin_loads_a_checkpoint_of_another_window(tmp_path):
    arch = dict(embed_dims=8, depths=[1, 1], num_heads=[1, 2])
    small, large = (
        SwinTransformer(arch, img_size=64, window_size=window, out_indices=(1,))
        for window in (4, 8)
    )
    state = small.state_dict()
    large.load_state_dict(state, strict=False)
    name = 'stages.1.blocks.0.attn.w_msa.relative_position_bias_table'
    expected = resize_relative_position_bias_table(7, 15, small.state_dict()[name], 2)
    assert torch.equal(large.state_dict()[name], expected)
