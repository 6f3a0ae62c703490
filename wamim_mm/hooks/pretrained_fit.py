"""A pre-trained backbone must be loaded completely: hosts load only what fits, and go on."""

import copy
import re
from collections.abc import Collection

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModule
from mmengine.registry import HOOKS
from mmengine.runner import CheckpointLoader, Runner
from torch import Tensor

from ..class_names import pretrained_init
from ..model_wrappers import unwrapped
from ..models.position_grid import GridChange, compare_grids
from ..ops.sharding import whole

# What hosts resize to another input or window size while they load.
RESIZED = ('pos_embed', 'relative_position_bias_table')
SHOWN = 5  # names in a message
STATES = ('state_dict', 'model')  # where a checkpoint keeps its tensors, if not at the top


@HOOKS.register_module()
class PretrainedFitHook(Hook):
    """Compare the backbone with the checkpoint of its ``init_cfg=dict(type='Pretrained', ...)``.

    mmengine, mmdet and mmseg each load a pre-trained backbone in their own way, and none of them
    stops when names do not fit. So this hook does not rely on them: it compares names and shapes
    before the weights are initialized, and values afterwards, and reports how many were loaded.
    Integer buffers are left out, because the model computes them. Nothing is checked when a run
    resumes or starts from ``load_from``, nor for an original Swin checkpoint that the backbone
    converts itself.

    A position embedding of another grid of patches is resized before the host sees it, because
    hosts take every grid for a square (see `position_grid`).

    Two kinds of tensors differ by design; they are reported and do not count as errors: the norm
    after a mean pooling, which no pre-training has, and norms of the pre-training that the backbone
    was built without. The hook finds both from the backbone itself, see `new_by_design` and
    `_left_by_design`.

    Args:
        allow_partial: Log what does not fit instead of raising an error.
    """

    priority = 'VERY_HIGH'  # before hooks that change weights

    def __init__(self, allow_partial: bool = False) -> None:
        self.allow_partial = allow_partial
        # The checkpoint, read once: memory-mapped from before_run to before_train.
        self._theirs: dict[str, Tensor] | None = None
        self._change: GridChange | None = None

    def before_run(self, runner: Runner) -> None:
        """Compare names and shapes.

        Raises:
            ValueError: A tensor of the backbone is not in the checkpoint, or has another shape
                there; or a backbone tensor of the checkpoint has no place in the backbone; or the
                grid of its position embedding is not known.
        """
        backbone, init_cfg = _pretrained_backbone(runner)
        if backbone is None:
            return
        path = init_cfg['checkpoint']
        checkpoint = _read(path)
        ours = _float_tensors(backbone)
        theirs, marked = _backbone_tensors(checkpoint, init_cfg)
        if getattr(backbone, 'convert_weights', False):
            if marked:
                raise ValueError(
                    f'{path} has the names of mm libraries already, and convert_weights=True is '
                    'for original Swin checkpoints: set model.backbone.convert_weights=False'
                )
            runner.logger.info(f'{path}: converted by the backbone, not checked')
            return
        self._theirs = theirs
        new = new_by_design(backbone, theirs)
        missing = [name for name in ours if name not in theirs and name not in new]
        reshaped = [
            f'{name}: {tuple(theirs[name].shape)} there, {tuple(ours[name].shape)} here'
            for name in ours
            if name in theirs
            and theirs[name].shape != ours[name].shape
            and not name.endswith(RESIZED)
        ]
        # A file without a prefix for the backbone may hold a classifier's head too.
        left_over = [name for name in theirs if name not in ours] if marked else []
        left_over = [name for name in left_over if not _left_by_design(name, backbone)]
        misfits = {
            'missing there': missing,
            'of another shape': reshaped,
            'left over there': left_over,
        }
        if missing or reshaped or left_over:
            self._complain(
                runner,
                f'of {len(ours)} backbone tensors in the model and {len(theirs)} in {path}, '
                + ', '.join(f'{_names(names)} {what}' for what, names in misfits.items() if names),
                "use the pre-trained encoder's architecture, or bring its names into the host's "
                'with tools/export_backbone.py',
            )
        change = compare_grids(backbone, theirs, checkpoint)
        if change is not None and change.source is None:
            self._complain(
                runner,
                f'{change.name} in {path} has {theirs[change.name].shape[1]} tokens, no square '
                'grid of patches, and the file does not say of which grid (meta.cfg)',
                'take the checkpoint as its run has written it',
            )
        elif change is not None and change.source != change.target:
            self._change = change
            theirs[change.name] = change.resized(theirs[change.name], backbone)
            prefix = _prefix(init_cfg)
            key = next(
                key
                for key in _state(checkpoint)
                if key.removeprefix('module.').removeprefix(prefix) == change.name
            )
            _serve(path, checkpoint, key, theirs[change.name])

    def before_train(self, runner: Runner) -> None:
        """Compare values and report how many tensors were loaded.

        Raises:
            ValueError: The backbone holds other values than the checkpoint.
        """
        theirs, self._theirs = self._theirs, None
        change, self._change = self._change, None
        backbone, init_cfg = _pretrained_backbone(runner)
        if theirs is None or backbone is None:
            return
        if change is not None:
            CheckpointLoader._schemes.pop(_scheme(init_cfg['checkpoint']))
        ours = _float_tensors(backbone)
        common = [name for name in ours if name in theirs]
        resized = [name for name in common if theirs[name].shape != ours[name].shape]
        loaded = [
            name
            for name in common
            if name in resized or _equal(whole(ours[name]).cpu(), theirs[name])
        ]
        report = f'loaded {len(loaded)} of {len(ours)} backbone tensors'
        if resized:
            report += f', {len(resized)} of them resized'
        if change is not None:
            report += f', {change.name} resized from {change.sizes}'
        new = new_by_design(backbone, theirs)
        if new:
            report += f', {_names(new)} new by design'
        left = [name for name in theirs if name not in ours and _left_by_design(name, backbone)]
        if left:
            report += f', {_names(left)} of the checkpoint not used by design'
        runner.logger.info(f'{report}, from {init_cfg["checkpoint"]}')
        lost = [name for name in common if name not in loaded]
        if lost:
            self._complain(
                runner,
                f'{type(backbone).__name__} did not load {_names(lost)}',
                "see how it reads its init_cfg, and what prefix it expects of the file's names",
            )

    def _complain(self, runner: Runner, problem: str, fix: str) -> None:
        if not self.allow_partial:
            raise ValueError(
                f'{problem}. To mend it, {fix}; or accept it: --allow-partial-backbone'
            )
        runner.logger.warning(problem)


def _pretrained_backbone(runner: Runner) -> tuple[BaseModule | None, dict]:
    """The backbone and its `init_cfg`, if a checkpoint in that can be compared with it."""
    model = unwrapped(runner.model)
    backbone = getattr(model, 'backbone', None)
    init_cfg = pretrained_init(getattr(backbone, 'init_cfg', None))
    if runner._resume or runner._load_from or init_cfg is None:
        return None, {}
    return backbone, init_cfg


def _float_tensors(backbone: BaseModule) -> dict[str, Tensor]:
    return {name: t for name, t in backbone.state_dict().items() if t.is_floating_point()}


def _equal(ours: Tensor, theirs: Tensor) -> bool:
    return torch.equal(ours, theirs.to(ours.dtype))


def _backbone_tensors(checkpoint: dict, init_cfg: dict) -> tuple[dict[str, Tensor], bool]:
    """The checkpoint's float tensors by the backbone's names, and whether a prefix marked them."""
    tensors = {
        name.removeprefix('module.'): value
        for name, value in _state(checkpoint).items()
        if torch.is_tensor(value) and value.is_floating_point()
    }
    prefix = _prefix(init_cfg)
    marked = {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
    return (marked, True) if marked else (tensors, False)


def _state(checkpoint: dict) -> dict:
    return next((checkpoint[name] for name in STATES if name in checkpoint), checkpoint)


def _prefix(init_cfg: dict) -> str:
    return (init_cfg.get('prefix') or 'backbone.').rstrip('.') + '.'


def _serve(path: str, checkpoint: dict, key: str, tensor: Tensor) -> None:
    """Let all hosts load the checkpoint from memory in place of the file, one tensor exchanged.

    They read files in ways of their own, but all through MMEngine's `CheckpointLoader`.
    """

    def load_from_memory(*_, **__) -> dict:
        state = copy.copy(_state(checkpoint))  # a new one for each: hosts change it
        state[key] = tensor
        place = next((name for name in STATES if name in checkpoint), None)
        return state if place is None else {**checkpoint, place: state}

    CheckpointLoader.register_scheme(_scheme(path), load_from_memory, force=True)


def _scheme(path: str) -> str:
    return f'{re.escape(path)}$'


def _read(path: str) -> dict:
    """Open a checkpoint; of its tensors, only those that are used are read from the file."""
    try:
        return torch.load(path, map_location='cpu', mmap=True, weights_only=True)
    except Exception:  # a URL, the old format, or no checkpoint, which MMEngine's loader explains
        return CheckpointLoader.load_checkpoint(path, map_location='cpu')


def new_by_design(backbone: BaseModule, theirs: Collection[str]) -> list[str]:
    """Names of the backbone's tensors that no checkpoint of pre-training can have.

    mmpretrain's ViT with ``out_type='avg_featmap'`` pools first and norms after, with ``ln2``: MAE,
    LocalMIM and MFM fine-tune so. A fine-tuned checkpoint has these tensors, and then none is new.

    Args:
        backbone: The backbone.
        theirs: Names of the checkpoint's tensors, without a prefix.
    """
    if getattr(backbone, 'out_type', None) != 'avg_featmap':
        return []
    new = ['ln2.weight', 'ln2.bias']
    return [] if any(name in theirs for name in new) else new


def _left_by_design(name: str, backbone: BaseModule) -> bool:
    """Whether it is a norm of the pre-training that this backbone was built without.

    A ViT's final norm ``ln1`` with ``final_norm=False``; Swin's ``norm<i>`` of a stage that is no
    output: pre-training norms all four, a classifier reads the last alone.
    """
    if re.match(r'ln1\.', name):
        return getattr(backbone, 'final_norm', True) is False
    stage = re.match(r'norm(\d)\.', name)
    return stage is not None and int(stage[1]) not in backbone.out_indices


def _names(names: list[str]) -> str:
    """How many, and the first of them."""
    more = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return f'{len(names)} ({", ".join(names[:SHOWN])}{more})'
