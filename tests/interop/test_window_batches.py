"""Swin puts windows together for a batch of any size, also in an exported program."""

import pytest
import torch
from mmpretrain.models import SwinTransformer
from mmpretrain.models.utils.attention import ShiftWindowMSA


@pytest.mark.parametrize('shape', [(1, 4, 4), (3, 8, 12), (2, 6, 2)])
def test_windows_are_put_together(shape):
    count, height, width = shape
    for size in (1, 2):
        images = torch.randn(count, height, width, 5)
        windows = [
            image[row : row + size, column : column + size]
            for image in images
            for row in range(0, height, size)
            for column in range(0, width, size)
        ]
        found = ShiftWindowMSA.window_reverse(torch.stack(windows), height, width, size)
        assert torch.equal(found, images)


def test_an_exported_program_takes_another_batch():
    model = SwinTransformer(
        arch=dict(embed_dims=8, depths=[2], num_heads=[1]),
        img_size=32,
        window_size=4,
        out_indices=(0,),
    )
    model.eval()  # which returns None
    batch = {0: torch.export.Dim('batch')}
    program = torch.export.export(model, (torch.randn(2, 3, 32, 32),), dynamic_shapes=(batch,))
    images = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(program.module()(images), model(images))
