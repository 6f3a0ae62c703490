"""The loss of WaMIM."""

from collections.abc import Sequence
from math import inf

from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from ...ops.masking import to_device


@MODELS.register_module()
class WaMIMHead(BaseModule):
    """Weighted squared error at the masked positions of every level (WaMIM, section 3.3).

    Args:
        loss_weights: Weight of each level, finest first; 0 for one that does not count.
        levels: The levels; `WaMIM` fills them in from the target generator.

    Raises:
        ValueError: Numbers of weights and levels differ, no weight is positive, or one is negative,
            infinite or NaN.
    """

    def __init__(
        self,
        loss_weights: Sequence[float] = (0.8, 0.9, 1.1, 1.2),
        levels: Sequence[int] = (2, 3, 4, 5),
    ) -> None:
        super().__init__()
        if len(loss_weights) != len(levels):
            raise ValueError(
                f'WaMIMHead: {len(loss_weights)} loss_weights for {len(levels)} levels '
                f'{tuple(levels)}; give one for each'
            )
        if not all(0 <= weight < inf for weight in loss_weights) or not any(loss_weights):
            raise ValueError(
                f'WaMIMHead: loss_weights {tuple(loss_weights)} must be 0 or more, and one positive'
            )
        self.loss_weights = tuple(loss_weights)
        self.levels = tuple(levels)

    @property
    def counted(self) -> dict[int, float]:
        """The levels that count in the loss, and their weights."""
        pairs = zip(self.levels, self.loss_weights, strict=True)
        return {level: weight for level, weight in pairs if weight}

    def loss(
        self, predictions: Sequence[Tensor], targets: Sequence[Tensor], mask: Tensor
    ) -> dict[str, Tensor]:
        """Loss of every level.

        Args:
            predictions: ``(N, C, h, w)`` for each level, finest first.
            targets: The same shapes.
            mask: ``(N, y, x)`` bool over the mask units, True where hidden. A coarse position that
                is partly masked counts with its masked fraction.

        Returns:
            ``loss_level<l>`` for each level, already weighted; their sum is the loss.
        """
        hidden = to_device(mask, targets[0].device).float()[:, None]  # (N, 1, y, x)
        losses = {}
        for level, weight, prediction, target in zip(
            self.levels, self.loss_weights, predictions, targets, strict=True
        ):
            error = F.mse_loss(prediction.float(), target, reduction='none').mean(1, keepdim=True)
            # Area interpolation repeats a unit over finer positions and averages over coarser ones.
            share = F.interpolate(hidden, size=target.shape[-2:], mode='area')
            losses[f'loss_level{level}'] = weight * (error * share).sum() / share.sum()
        return losses
