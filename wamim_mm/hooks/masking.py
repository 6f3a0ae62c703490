"""Masks and window groups are made in the workers and not in the training process."""

from collections.abc import Callable
from typing import Any

from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..data.masking import MaskedCollate
from ..model_wrappers import unwrapped


@HOOKS.register_module()
class MaskingHook(Hook):
    """Let the workers of the data loader make WaMIM's masks and the layouts that follow from them.

    Mask ratio, mask unit and windows are those of the model. Without this hook, or where samples
    have neither a mask nor a number from which one follows (`RandomDraw`), the model itself makes
    masks and layouts. Models without a masked encoder are not changed.
    """

    def before_train(self, runner: Runner) -> None:
        """Extend the loader's collate function, before its workers start."""
        model = unwrapped(runner.model)
        if not hasattr(getattr(model, 'backbone', None), 'geometry'):
            return
        loader = runner.train_loop.dataloader
        loader.collate_fn = masked_collate(model, loader.collate_fn)
        iterator = getattr(runner.train_loop, 'dataloader_iterator', None)
        if getattr(iterator, '_iterator', None) is not None:
            runner.logger.warning(
                'MaskingHook comes after the start of the data loader, with this '
                f"{type(runner.train_loop).__name__} of MMEngine's: the training process makes the "
                'masks, the same ones in more time; EpochBasedTrainLoop leaves them to the workers'
            )


def masked_collate(model: Any, collate: Callable = default_collate) -> MaskedCollate:
    """A collate function that makes the masks of a `WaMIM` model, and their layout."""
    grid = model.backbone.mask_grid(*model.img_size)
    return MaskedCollate(collate, model.backbone.geometry, grid, model.mask_ratio)
