"""The data loaders must ask of the model what it can do."""

from collections.abc import Iterator

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmpretrain.models import BaseSelfSupervisor
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..model_wrappers import unwrapped


@HOOKS.register_module()
class LoaderFitHook(Hook):
    """Refuse validation of a model that only pre-trains, and batches of one where a norm needs two.

    By themselves, mmpretrain's self-supervised models fail in the first validation, after an epoch
    or many; heads that pool the whole image and norm the result fail in the first step.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare the loops with the model.

        Raises:
            ValueError: They do not fit; the message says what to change.
        """
        model = unwrapped(runner.model)
        if runner._val_loop is not None and isinstance(model, BaseSelfSupervisor):
            raise ValueError(
                f'val_dataloader and val_cfg: {type(model).__name__} pre-trains, it predicts '
                'nothing that could be scored; leave out val_dataloader, val_cfg and '
                'val_evaluator, and score checkpoints with tools/linear_probe.py'
            )
        if runner.train_dataloader.batch_size != 1:
            return
        name = next(norms_of_one_value(model, get_world_size()), None)
        if name is not None:
            raise ValueError(
                f'train_dataloader.batch_size=1: the batch norm {name} gets one value a channel, '
                'which has no variance; set train_dataloader.batch_size to 2 or more'
            )


def norms_of_one_value(model: nn.Module, processes: int) -> Iterator[str]:
    """Names of the batch norms that follow a pooling of the whole image, as in PSP and ASPP heads.

    Args:
        model: The model.
        processes: How many there are; synchronized norms see the batches of all.
    """
    for outer, module in model.named_modules():
        if not isinstance(module, nn.Sequential) or not len(module):
            continue
        pool = module[0]
        if not isinstance(pool, nn.AdaptiveAvgPool2d) or pool.output_size not in (1, (1, 1)):
            continue
        for inner, norm in module.named_modules():
            if isinstance(norm, _BatchNorm) and not (
                isinstance(norm, nn.SyncBatchNorm) and processes > 1
            ):
                yield f'{outer}.{inner}'
