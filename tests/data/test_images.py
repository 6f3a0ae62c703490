"""How an image reaches a model's input size."""

import numpy as np
import pytest
from mmengine.dataset import Compose
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from wamim_mm.data.images import centre_crop_pipeline


@pytest.mark.parametrize('size', [(32, 32), (32, 64), (64, 32)])
@pytest.mark.parametrize('image', [(100, 70), (20, 90)])
def test_centre_crop(tmp_path, size, image):
    """The centre of the image, undistorted: a gradient keeps its middle value in the middle."""
    height, width = image
    ramp = np.tile(np.linspace(0, 250, width), (height, 1)).astype(np.uint8)
    Image.fromarray(np.stack([ramp] * 3, -1)).save(tmp_path / 'ramp.png')
    pipeline = Compose([TRANSFORMS.build(step) for step in centre_crop_pipeline(size)])
    out = pipeline(dict(img_path=str(tmp_path / 'ramp.png')))['inputs'].float()
    assert out.shape == (3, *size)
    assert abs(out[0, :, size[1] // 2 - 1 : size[1] // 2 + 1].mean() - 125) < 4
