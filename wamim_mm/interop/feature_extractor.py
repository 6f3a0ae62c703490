"""mmpretrain's FeatureExtractor takes the steps of a test set, which pre-training has none of.

So it fails on every config of pre-training, mmpretrain's own included. Upstream: take the centre of
the image, as tests do.
"""

import functools
from typing import Any


def install() -> None:
    """Let ``FeatureExtractor(config, checkpoint)`` take configs of pre-training."""
    from mmengine.dataset import Compose
    from mmpretrain.apis.feature_extractor import FeatureExtractor

    steps = FeatureExtractor._init_pipeline
    if hasattr(steps, '__wrapped__'):
        return

    @functools.wraps(steps)
    def found(self: Any, cfg: Any) -> Any:
        if cfg.get('test_dataloader'):
            return steps(self, cfg)
        size = cfg.model.backbone.get('img_size', 224)
        height, width = (size, size) if isinstance(size, int) else size
        return Compose(
            [
                dict(
                    type='mmpretrain.ResizeEdge',
                    scale=max(height, width),
                    edge='short',
                    backend='pillow',
                ),
                dict(type='mmpretrain.CenterCrop', crop_size=(width, height)),
                dict(type='mmpretrain.PackInputs'),
            ]
        )

    FeatureExtractor._init_pipeline = found
