"""A run of another length: what a config measures in the run's length goes along with it.

``train_cfg.max_epochs=N`` among the ``--cfg-options``, or ``train_cfg.max_iters=N`` where a run is
measured in iterations, is all that it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from ..class_names import short_name

if TYPE_CHECKING:
    from mmengine.config import Config

#: Arguments of parameter schedulers that are points in time, and those that are spans behind
#: ``begin``. ``periods`` are spans too, one behind the other.
POINTS = ('begin', 'end')
SPANS = ('T_max', 'total_steps', 'milestones')
#: Arguments of hooks: something begins or ends at this epoch or iteration.
HOOK_POINTS = (
    'switch_epoch',
    'begin_epoch',
    'begin_iter',
    'start_iters',
    'save_begin',
    'epoch_queue_starts',
    'num_last_epochs',
    'warmup_epochs',
)
#: MMEngine's word for "never".
NEVER = int(1e9)


def follow_length(cfg: Config, options: dict[str, Any]) -> str | None:
    """Move what is measured in the run's length, if the options change that length.

    Parameter schedulers keep their shape: at the same share of the run the learning rate is the
    same. Where a run gets shorter, what changed once in an epoch changes in every iteration.

    Args:
        cfg: The config before the options are merged into it; changed in place.
        options: Values by dotted key. What they set themselves is left to them.

    Returns:
        A line that says what was moved; None where the length is the file's.

    Raises:
        ValueError: The new length is not a whole number above 0.
    """
    loop = cfg.get('train_cfg') or {}
    unit = next((unit for unit in ('max_epochs', 'max_iters') if unit in loop), None)
    if unit is None or f'train_cfg.{unit}' not in options:
        return None
    old, new = loop[unit], options[f'train_cfg.{unit}']
    if type(new) is not int or new < 1:
        raise ValueError(
            f'--cfg-options train_cfg.{unit}={new}: must be a whole number above 0; this config '
            f'has {old}'
        )
    if new == old:
        return None
    by_epoch, moved = unit == 'max_epochs', []
    for path, part in _parts(cfg):
        if _is_set(f'{path}.by_epoch', options):
            continue  # its numbers will mean something else
        changed = {
            key: value
            for key, value in _moved(path, part, old, new, by_epoch).items()
            if not _is_set(f'{path}.{key}', options)
        }
        told = [f'{k} {_text(part[k])} -> {_text(v)}' for k, v in changed.items() if k in part]
        if told:
            moved.append(f'{_name(path, part)} {", ".join(told)}')
        part.update(changed)
    length = f'{old} -> {new} {"epochs" if by_epoch else "iterations"}'
    return f'{length}: {"; ".join(moved)}' if moved else length


def _parts(cfg: Config) -> Iterator[tuple[str, dict]]:
    """The parts of a config that may be measured in the run's length, by their dotted keys."""
    for name in ('train_cfg', 'param_scheduler', 'default_hooks', 'custom_hooks'):
        yield from _dicts(name, cfg.get(name))


def _dicts(path: str, value: Any) -> Iterator[tuple[str, dict]]:
    """The value itself if it is one part, else the parts in it."""
    if isinstance(value, dict) and ('type' in value or path.count('.') or path == 'train_cfg'):
        yield path, value
    elif isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _dicts(f'{path}.{key}', item)


def _moved(path: str, part: dict, old: int, new: int, by_epoch: bool) -> dict[str, Any]:
    """The arguments of a part that are others in a run of another length."""
    ratio = new / old
    if path == 'train_cfg':
        changed = _shortened(part, 'val_interval', ratio, new)
        if 'val_begin' in part:
            changed['val_begin'] = max(1, round(part['val_begin'] * ratio))
        if part.get('dynamic_intervals'):
            changed['dynamic_intervals'] = [
                (round(milestone * ratio), interval)
                for milestone, interval in part['dynamic_intervals']
            ]
    elif path.startswith('param_scheduler'):
        changed = _moved_scheduler(part, ratio, by_epoch)
    else:
        changed = {key: round(part[key] * ratio) for key in HOOK_POINTS if part.get(key)}
        if path == 'default_hooks.checkpoint' and part.get('by_epoch', True) == by_epoch:
            changed |= _shortened(part, 'interval', ratio, new)
        if 'warmup_epochs' in changed:  # a divisor
            changed['warmup_epochs'] = _exact(part['warmup_epochs'] * ratio)
        if 'action_epoch' in str(part.get('schedule', '')):
            changed['schedule'] = _moved_recipes(part['schedule'], ratio)
    return {key: value for key, value in changed.items() if value != part.get(key)}


def _shortened(part: dict, key: str, ratio: float, new: int) -> dict[str, Any]:
    """An interval that is longer than the whole run, in proportion; others stay."""
    return {key: max(1, round(part[key] * ratio))} if part.get(key, 0) > new else {}


def _moved_scheduler(part: dict, ratio: float, by_epoch: bool) -> dict[str, Any]:
    counts_epochs = part.get('by_epoch', True)
    exponential = 'gamma' in part and 'step_size' not in part and 'milestones' not in part
    # MMEngine has no such form of these two, or one of another shape.
    stays = exponential or 'Plateau' in short_name(part)
    converts = by_epoch and counts_epochs and not stays
    changed = rescaled(part, ratio, _exact if converts or _converts(part) else round)
    if exponential:
        changed['gamma'] = part['gamma'] ** (1 / ratio)
    if converts and (ratio < 1 or not _is_whole(changed)):
        changed['convert_to_iter_based'] = True
    return changed


def _moved_recipes(schedule: Sequence[dict], ratio: float) -> list[dict]:
    """Recipes of mmpretrain's ``SwitchRecipeHook``; its first epoch is 1."""
    recipes: dict[int, dict] = {}
    for recipe in sorted(schedule, key=lambda recipe: recipe['action_epoch']):
        epoch = round((recipe['action_epoch'] - 1) * ratio) + 1
        recipes[epoch] = {**recipes.get(epoch, {}), **recipe, 'action_epoch': epoch}
    return list(recipes.values())


def rescaled(part: dict, factor: float, rounded: Callable[[float], float]) -> dict[str, Any]:
    """The arguments of a scheduler that are measured in time, in another unit.

    Args:
        part: Config of a scheduler.
        factor: New units in an old one.
        rounded: What a product becomes. Points are rounded and not spans, so that parts which
            end together still do.
    """

    def point(value: float) -> float:
        return rounded(value * factor) if value < NEVER else value

    def span(value: float, start: float) -> float:
        return point(start + value) - point(start)

    begin = part.get('begin', 0)
    changed: dict[str, Any] = {key: point(part[key]) for key in POINTS if key in part}
    for key in SPANS:
        value = part.get(key)
        if value is not None:
            many = isinstance(value, list | tuple)
            changed[key] = [span(v, begin) for v in value] if many else span(value, begin)
    if 'step_size' in part:
        changed['step_size'] = rounded(part['step_size'] * factor) or 1
    if 'periods' in part:
        borders = [point(begin + border) for border in accumulate(part['periods'], initial=0)]
        changed['periods'] = [b - a for a, b in pairwise(borders)]
    if rounded is _exact:  # a difference of two such numbers is none
        changed = {
            key: [_exact(v) for v in value] if isinstance(value, list) else _exact(value)
            for key, value in changed.items()
        }
    return changed


def in_iterations(
    parts: Any, epoch_length: int, epochs: int, iterations: int
) -> tuple[list, list[str]]:
    """Schedulers as MMEngine builds them, where one begins or ends within an epoch.

    MMEngine takes fractions of epochs for some arguments only, cuts them off instead of rounding
    them, and leaves the learning rate at its start where a warm-up is a single step.

    Args:
        parts: Configs of schedulers, or schedulers, which are left as they are; one or several.
        epoch_length: Iterations in an epoch.
        epochs: Epochs in the run.
        iterations: Iterations in the run.

    Returns:
        The schedulers that are not shorter than two iterations, or one epoch where they change once
        in an epoch; and warnings: which ones are left out, and which the run ends before.
    """
    found, left_out, warnings = [], [], []
    for part in parts if isinstance(parts, Sequence) else [parts]:
        if isinstance(part, dict):
            by_epoch, length, shortest = part.get('by_epoch', True), 1, 1
            last, unit = (epochs, 'epochs') if by_epoch else (iterations, 'iterations')
            part = {'begin': 0, 'end': last, **part}
            if last < part['end'] < NEVER:
                warnings.append(
                    f'{_span(part)} {unit} does not come to its end, the run has {last}: give that '
                    'scheduler another end, or the run another length (train_cfg)'
                )
            if _converts(part):
                length = epoch_length
                if not _is_whole(rescaled(part, 1, _exact)):
                    part.update(rescaled(part, epoch_length, round))
                    part.update(by_epoch=False, convert_to_iter_based=False)
                    length = 1
            if _converts(part) or not part.get('by_epoch', True):
                shortest = 2
            if (part['end'] - part['begin']) * length < shortest:
                left_out.append(_span(part))
                continue
        found.append(part)
    if left_out:
        warnings.append(f'too short in this run, and left out: {", ".join(left_out)}')
    return found, warnings


def _span(part: dict) -> str:
    return f'{short_name(part)} from {part["begin"]} to {part["end"]}'


def _converts(part: dict) -> bool:
    return bool(part.get('convert_to_iter_based'))


def _exact(value: float) -> float:
    """Without the noise of a division, and as an integer where it is one."""
    value = round(value, 9)
    return int(value) if value == int(value) else value


def _is_whole(changed: dict[str, Any]) -> bool:
    return not any(
        isinstance(value, float)
        for key, item in changed.items()
        if key != 'gamma'
        for value in (item if isinstance(item, list) else [item])
    )


def _is_set(path: str, options: dict[str, Any]) -> bool:
    """Whether the options set a key, what it lies in, or a part of it."""
    return any(f'{path}.'.startswith(f'{key}.') or key.startswith(f'{path}.') for key in options)


def _name(path: str, part: dict) -> str:
    return short_name(part) if path.startswith(('param', 'custom')) else path


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f'[{", ".join(_text(item) for item in value)}]'
    if isinstance(value, dict):
        return f'epoch {value["action_epoch"]}'
    return f'{value:.4g}' if isinstance(value, float) else str(value)
