"""A step whose loss or gradients are not finite changes nothing; many in a row end the run."""

from functools import partial, wraps
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import get_total_norm

from ..model_wrappers import unwrapped
from ..ops.sharding import own_part

#: The methods of an OptimWrapper between which the check is.
PARTS = ('backward', 'step')
#: What keeps losses and weights finite, after "go on ... " or "start again ".
REMEDY = 'with a lower learning rate, with optim_wrapper.clip_grad.max_norm, or without --amp'


@HOOKS.register_module()
class FiniteStepsHook(Hook):
    """Skip the optimizer's step where the loss or a gradient is NaN or infinite.

    Skipped steps are counted (``skipped_steps`` of the message hub, which checkpoints hold), and
    the log names the files of their batches. The running statistics of batch norms become those
    before the step again. All processes skip the same steps. fp16's gradient scaler skips steps by
    itself while it looks for its scale; these are counted too.

    Models with several optimizers are left alone.

    Args:
        limit: So many skipped steps in a row end the run. So does a run without any other.

    Raises:
        ValueError: The limit is not positive.
    """

    priority = 'LOW'  # after the log of the step, before checkpoints

    def __init__(self, limit: int = 20) -> None:
        if limit < 1:
            raise ValueError(f'FiniteStepsHook: limit must be a number from 1 on, got {limit}')
        self.limit = limit
        self.in_row = 0
        self._watches = True
        self._skips = False
        self._stepped = False
        self._learns = False
        # Since the last step, which may be that of several batches.
        self._losses: list[Tensor] = []
        self._files: list[str] = []

    def before_train(self, runner: Runner) -> None:
        """Put the check between the optimizer and its step."""
        wrapper = runner.optim_wrapper
        self._watches = isinstance(wrapper, OptimWrapper)
        if not self._watches:
            return
        self._learns = runner.iter > 0  # before it was resumed
        model = unwrapped(runner.model)
        self._sharded = isinstance(model, FSDPModule)
        self._statistics = _running_statistics(model)
        self._before = [part.clone() for part in self._statistics]
        # Schedulers have put a counter around the step, and look for it there.
        self._own = {name: vars(wrapper)[name] for name in PARTS if name in vars(wrapper)}
        backward, step = wrapper.backward, wrapper.step
        wrapper.backward = wraps(backward)(partial(self._backward, backward))
        wrapper.step = wraps(step)(partial(self._step, wrapper, step))

    def after_train(self, runner: Runner) -> None:
        """Leave the optimizer as it was.

        Raises:
            FloatingPointError: All steps of the run were skipped.
        """
        if not self._watches:
            return
        for name in PARTS:
            vars(runner.optim_wrapper).pop(name, None)
        vars(runner.optim_wrapper).update(self._own)
        if self.in_row and not self._learns:
            raise FloatingPointError(
                f'all {self.in_row} steps of this run had a loss or gradients that are not finite, '
                f'so the weights in {runner.work_dir} are those that it began with; start again '
                f'{REMEDY}; the log names the files of the batches'
            )

    def _backward(self, backward: Any, loss: Tensor, **kwargs: Any) -> None:
        self._losses.append(loss.detach())
        # A loss that is not finite can have finite gradients. Multiplied by NaN it has none, and
        # all processes see it in the sum of their gradients.
        backward(loss * torch.where(loss.detach().isfinite(), 1.0, torch.nan), **kwargs)

    def _step(self, wrapper: OptimWrapper, step: Any, **kwargs: Any) -> None:
        gradients = [
            own_part(parameter.grad)
            for group in wrapper.optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        largest = get_total_norm([part for part in gradients if part.numel()], torch.inf)
        infinite = (~largest.isfinite()).float()
        if self._sharded:  # else all processes have the same gradients
            all_reduce(infinite, 'max')
        self._stepped = True
        self._skips = bool(infinite)
        scaler = getattr(wrapper, 'loss_scaler', None)
        if not self._skips or (scaler is not None and scaler.is_enabled()):
            step(**kwargs)  # a scaler skips by itself, and lowers its scale
        pairs = zip(self._before, self._statistics, strict=True)
        for before, now in pairs:
            if self._skips:
                now.copy_(before)
            else:
                before.copy_(now)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Count and report a skipped step.

        Raises:
            FloatingPointError: It is the last of too many in a row.
        """
        if not self._watches:
            return
        self._files += _files(data_batch)
        if not self._stepped:
            return
        skips, losses, names = self._skips, self._losses, self._files
        self._stepped, self._losses, self._files = False, [], []
        if not skips:
            self.in_row, self._learns = 0, True
            return
        self.in_row += 1
        hub = runner.message_hub
        total = hub.runtime_info.get('skipped_steps', 0) + 1
        hub.update_info('skipped_steps', total)
        files = [name for part in all_gather_object(names) for name in part]
        bad = [f'{loss:g}' for loss in losses if not loss.isfinite()]
        what = f'the loss ({bad[0]}) is' if bad else 'the gradients are'
        runner.logger.warning(
            f'iteration {runner.iter + 1} is skipped, since {what} not finite ({self.in_row} in a '
            f'row, {total} in all); files of its batch: {", ".join(files) or "unknown"}'
        )
        if self.in_row >= self.limit:
            raise FloatingPointError(
                f'{self.in_row} steps in a row, up to iteration {runner.iter + 1}, had a loss or '
                f'gradients that are not finite; the checkpoints in {runner.work_dir} are from '
                f'before: go on with --resume, and {REMEDY}; the log names the files of the '
                'batches'
            )


def _running_statistics(model: torch.nn.Module) -> list[Tensor]:
    return [
        part
        for module in model.modules()
        if isinstance(module, _BatchNorm)
        for part in (module.running_mean, module.running_var)
        if part is not None
    ]


def _files(data_batch: Any) -> list[str]:
    """Paths of a batch's images, where its data samples know them."""
    samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
    samples = samples if isinstance(samples, list | tuple) else []
    return [str(path) for sample in samples if (path := getattr(sample, 'img_path', None))]
