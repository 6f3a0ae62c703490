"""A resumed run follows the config at hand, from the place that the checkpoint has reached."""

import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner

from ..saved_config import parse_config

#: Where a scheduler is, and not what it is.
PROGRESS = ('last_step', '_global_step', '_last_value', 'verbose')
#: How an optimizer computes, and not what.
IMPLEMENTATION = ('params', 'foreach', 'fused', 'capturable', 'differentiable')
ANEW = 'start anew from its weights: no --resume, and --cfg-options load_from=CHECKPOINT'


@HOOKS.register_module()
class ResumeHook(Hook):
    """Make schedule and hyper-parameters of a resumed run those of its config.

    MMEngine brings back the checkpoint's: a run of 2 epochs that is resumed as one of 4 trains on
    at the lowest learning rate, and with twice the batch a cosine is at its end after half of the
    epochs. Here a checkpoint says which epoch was reached, and which share of it, and the config
    says what the learning rate is there. Where nothing has changed, nothing is touched: such a run
    takes the same steps as one that was never interrupted.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Change the checkpoint's state of optimizer and schedulers before MMEngine reads it.

        Raises:
            ValueError: It is no checkpoint of a run, or of one that cannot be gone on with: another
                optimizer, other groups of parameters, iterations instead of epochs.
        """
        if not runner._resume:
            return
        missing = [part for part in ('meta', 'message_hub', 'optimizer') if part not in checkpoint]
        if missing:
            raise ValueError(
                f'--resume: the checkpoint has no {", ".join(missing)}: it holds weights alone, '
                f'and no run to resume; {ANEW}'
            )
        changes = self._reach(runner, checkpoint)
        for wrapper, saved in _optimizers(runner, checkpoint):
            changes += _changed_parameters(wrapper, saved)
            if not saved.get('loss_scaler', True):  # of bfloat16, which float16 refuses
                saved.pop('loss_scaler')
        schedulers = _flat(runner.param_schedulers)
        if any(getattr(scheduler, 'need_val_args', False) for scheduler in schedulers):
            if changes:
                runner.logger.warning(
                    f'--resume: the config has changed ({", ".join(changes)}), but a schedule that '
                    'waits for a plateau goes on as the checkpoint says'
                )
            return
        if _constants(schedulers) != _saved_constants(checkpoint.get('param_schedulers')):
            changes.append('schedule')
        if not changes:
            return
        meta = checkpoint['meta']
        _replay(
            schedulers,
            meta['iter'],
            None if _by_iteration(runner) else len(runner.train_dataloader),
        )
        for wrapper, saved in _optimizers(runner, checkpoint):
            for ours, theirs in _group_pairs(wrapper, saved):
                theirs.update({key: ours[key] for key in ours if key != 'params'})
        checkpoint['param_schedulers'] = _states(runner.param_schedulers)
        runner.logger.info(
            f'--resume: what differs from the checkpoint follows the config: {", ".join(changes)}'
        )

    def _reach(self, runner: Runner, checkpoint: dict) -> list[str]:
        """Say in the config's terms how far the checkpoint is; list how the terms differ."""
        loop, meta, by_iteration = runner.train_loop, checkpoint['meta'], _by_iteration(runner)
        before = checkpoint['message_hub'].get('runtime_info', {})
        if by_iteration != _was_by_iteration(meta, before):
            units = ('epochs', 'iterations') if by_iteration else ('iterations', 'epochs')
            raise ValueError(
                f'--resume: the checkpoint is of a run that counts {units[0]}, and this config '
                f'counts {units[1]}; use the config that it was trained with, or {ANEW}'
            )
        unit = 'iterations' if by_iteration else 'epochs'
        name = 'max_iters' if by_iteration else 'max_epochs'
        limit = getattr(loop, name)
        changes = []
        if before.get(name, limit) != limit:
            changes.append(f'{name} {before[name]} -> {limit}')
        if not by_iteration:
            length, was = len(runner.train_dataloader), len(runner.train_dataloader)
            if 'max_iters' in before and 'max_epochs' in before:
                was = before['max_iters'] // before['max_epochs']
            share = meta['iter'] / was - meta['epoch']
            if not 0 <= share <= 1:  # its own epochs were of several lengths
                share = 0.0
            reached = meta['epoch'] + share
            if share < 1:  # else its last step is made, and what ends an epoch is still to come
                meta['epoch'] = int(reached)
            meta['iter'] = round(reached * length)
            if was != length:
                changes.append(f'iterations in an epoch {was} -> {length}')
        place = meta['iter' if by_iteration else 'epoch']
        if place >= limit:
            runner.logger.warning(
                f'--resume: all {limit} {unit} of this run are done, there is nothing to train; to '
                f'go on, give more: --cfg-options train_cfg.{name}={2 * place}'
            )
        return changes


def _by_iteration(runner: Runner) -> bool:
    return isinstance(runner.train_loop, IterBasedTrainLoop)


def _was_by_iteration(meta: dict, runtime_info: dict) -> bool:
    """Whether the checkpoint's run counted iterations, from its config, which is not run."""
    with suppress(ValueError):  # no config, or none that is read as data
        train_cfg = parse_config(meta.get('cfg')).get('train_cfg')
        if isinstance(train_cfg, dict):
            return 'max_iters' in train_cfg
    return meta['epoch'] == 0 and runtime_info.get('max_epochs', 1) == 1


def _optimizers(runner: Runner, checkpoint: dict) -> Iterator[tuple[OptimWrapper, dict]]:
    """Every optimizer with its state in the checkpoint.

    Raises:
        ValueError: There are others.
    """
    wrapper, saved = runner.optim_wrapper, checkpoint['optimizer']
    if not isinstance(wrapper, OptimWrapperDict):
        saved, pairs = {'': saved}, [('', wrapper)]
    else:
        pairs = list(wrapper.items())
    for name, part in pairs:
        if 'param_groups' not in saved.get(name, {}):
            raise ValueError(
                '--resume: the checkpoint is of a run with another number of optimizers; use the '
                f'config that it was trained with, or {ANEW}'
            )
        yield part, saved[name]


def _group_pairs(wrapper: OptimWrapper, saved: dict) -> Iterator[tuple[dict, dict]]:
    """The optimizer's groups of parameters beside those of the checkpoint.

    With several groups MMEngine has one more, which holds what the optimizer itself was given.
    """
    yield from zip(wrapper.optimizer.param_groups, saved['param_groups'], strict=True)
    ours, theirs = wrapper.base_param_settings, saved.get('base_param_settings')
    if ours and theirs:
        yield ours, theirs


def _changed_parameters(wrapper: OptimWrapper, saved: dict) -> list[str]:
    """What the optimizer is given otherwise than in the checkpoint: a line for each.

    Raises:
        ValueError: The checkpoint is of another optimizer or of other groups of parameters.
    """
    optimizer, fix = type(wrapper.optimizer).__name__, 'use the config that it was trained with'
    ours, theirs = (
        [len(group['params']) for group in groups]
        for groups in (wrapper.optimizer.param_groups, saved['param_groups'])
    )
    if ours != theirs:
        raise ValueError(
            f'--resume: {optimizer} has {len(ours)} groups with {sum(ours)} parameters, and in the '
            f'checkpoint {len(theirs)} with {sum(theirs)}: frozen layers or paramwise_cfg have '
            f'changed; {fix}, or {ANEW}'
        )
    unknown = [
        key
        for key, value in wrapper.optimizer.defaults.items()
        if key not in saved['param_groups'][0]
        and isinstance(value, float | tuple)
        and not isinstance(value, bool)
    ]
    if unknown:
        raise ValueError(
            f'--resume: the checkpoint is of another optimizer than {optimizer}, without '
            f'{", ".join(unknown)}; {fix}, or {ANEW}'
        )
    changes: dict[str, str] = {}
    for group, before in _group_pairs(wrapper, saved):
        by_momentum = 'initial_momentum' in group and 'betas' in group
        for key in wrapper.optimizer.defaults:
            if key in IMPLEMENTATION or (by_momentum and key == 'betas'):
                continue
            new = group.get(f'initial_{key}', group[key])
            old = before.get(f'initial_{key}', before.get(key, new))
            if list(_numbers(old)) != list(_numbers(new)):
                changes.setdefault(key, f'{optimizer} {key} {_text(old)} -> {_text(new)}')
    return list(changes.values())


def _numbers(value: Any) -> Iterator[Any]:
    """Tuples are lists behind some loaders."""
    yield from value if isinstance(value, list | tuple) else [value]


def _text(value: Any) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def _flat(schedulers: Any) -> list:
    """All schedulers, or their states, of all optimizers."""
    if isinstance(schedulers, dict):
        return [scheduler for part in schedulers.values() for scheduler in part]
    return list(schedulers or [])


def _states(schedulers: Any) -> Any:
    """As MMEngine saves them."""
    if isinstance(schedulers, dict):
        return {name: _states(part) for name, part in schedulers.items()}
    return [scheduler.state_dict() for scheduler in schedulers or []]


def _constants(schedulers: list) -> list[dict]:
    return _saved_constants([scheduler.state_dict() for scheduler in schedulers])


def _saved_constants(states: Any) -> list[dict]:
    return [
        {key: value for key, value in state.items() if key not in PROGRESS}
        for state in _flat(states)
    ]


def _replay(schedulers: list, steps: int, epoch_length: int | None) -> None:
    """Bring new schedulers to where an unbroken run would have them.

    They are defined step by step, so these are taken; a hundred thousand take seconds.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that the optimizer takes no steps meanwhile
        for step in range(1, steps + 1):
            for scheduler in schedulers:
                if not scheduler.by_epoch or (epoch_length and step % epoch_length == 0):
                    scheduler.step()
