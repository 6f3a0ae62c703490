"""A checkpoint must belong to the model that it is loaded into."""

from collections.abc import Set
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch import nn

from ..model_wrappers import unwrapped
from ..models.position_grid import backbone_tensors, check_grid, compare_grids
from .pretrained_fit import RESIZED, new_by_design


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Refuse a checkpoint of another architecture; MMEngine itself only warns.

    Args:
        strict: If True, as in resuming and testing, the checkpoint must hold every tensor of the
            model, in the same shape, and no other. If False, as in training that starts from
            ``load_from``, it must hold the weights of the backbone, except those that are new by
            design (see `PretrainedFitHook`), and those that the host resizes may have another
            shape: position embeddings, and mmpretrain's tables of relative positions. (mmdet and
            mmseg resize such tables for ``init_cfg`` alone.)
            Other weights that are missing are initialized at random. A position embedding of
            another grid of patches is resized in the checkpoint before it is loaded.
    """

    def __init__(self, strict: bool) -> None:
        self.strict = strict

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the tensors.

        Raises:
            ValueError: They do not fit; the message counts and names them.
        """
        model = unwrapped(runner.model)
        check_fit(model, checkpoint, self.strict)
        if not self.strict and hasattr(model, 'backbone'):
            _move_positions(runner, model.backbone, checkpoint)


def check_fit(
    model: nn.Module, checkpoint: Any, strict: bool, beside: Set[str] = frozenset()
) -> None:
    """Compare the tensors of a model and of a checkpoint.

    Args:
        model: The model.
        checkpoint: What the file holds.
        strict: As in `CheckpointFitHook`.
        beside: Tensors that the checkpoint may hold and that are not the model's.

    Raises:
        ValueError: They do not fit; the message counts and names them.
    """
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else checkpoint
    if not isinstance(state, dict):
        raise ValueError(
            f'the checkpoint does not fit the model: it holds a {type(state).__name__}, where '
            'tensors by name are expected'
        )
    theirs = {
        str(name).removeprefix('module.'): tensor.shape
        for name, tensor in state.items()
        if hasattr(tensor, 'shape')
    }
    ours = model.state_dict()
    needed = {
        name: tensor.shape
        for name, tensor in ours.items()
        # Integers are counters and index tables, which follow from the architecture.
        if strict or (name.startswith('backbone.') and tensor.is_floating_point())
    }
    new = set()
    if not strict and hasattr(model, 'backbone'):
        given = [name.removeprefix('backbone.') for name in theirs]
        new = {f'backbone.{name}' for name in new_by_design(model.backbone, given)}
    missing = [name for name in needed if name not in theirs and name not in new]
    backbone = getattr(model, 'backbone', None)
    # mmdet and mmseg resize tables for `init_cfg` alone.
    resized = RESIZED if isinstance(backbone, BaseBackbone) else 'pos_embed'
    reshaped = [
        name
        for name, shape in needed.items()
        if name in theirs and theirs[name] != shape and (strict or not name.endswith(resized))
    ]
    left = [name for name in theirs if name not in ours and name not in beside] if strict else []
    if missing or reshaped or left:
        examples = [f'{name} is missing' for name in missing[:3]]
        examples += [f'{name} is left over' for name in left[:3]]
        examples += [
            f'{name} is {tuple(theirs[name])} in the checkpoint and {tuple(needed[name])} in the '
            'model'
            for name in reshaped[:3]
        ]
        by_init = not strict and any(name.endswith(RESIZED) for name in reshaped)
        fix = ', or load it by model.backbone.init_cfg.checkpoint, which resizes' if by_init else ''
        raise ValueError(
            f'the checkpoint does not fit the model: of {len(needed)} tensors {len(missing)} are '
            f'missing and {len(reshaped)} have another shape, {len(left)} of the checkpoint have '
            f'no place ({"; ".join(examples)}); use the config that it was trained with{fix}'
        )
    if strict and isinstance(backbone, nn.Module):
        check_grid(backbone, checkpoint)


def _move_positions(runner: Runner, backbone: nn.Module, checkpoint: dict) -> None:
    """Resize the backbone's position embedding in a checkpoint, where it is on another grid."""
    theirs = backbone_tensors(checkpoint)
    change = compare_grids(backbone, theirs, checkpoint)
    if change is None or change.source == change.target:
        return
    if change.source is None:
        raise ValueError(
            f'backbone.{change.name} of the checkpoint has {theirs[change.name].shape[1]} tokens, '
            'no square grid of patches, and the file does not say of which grid (meta.cfg); take '
            'the checkpoint as its run has written it'
        )
    state = checkpoint.get('state_dict', checkpoint)
    key = next(key for key in state if key.removeprefix('module.') == f'backbone.{change.name}')
    state[key] = change.resized(theirs[change.name], backbone)
    runner.logger.info(f'backbone.{change.name} resized from {change.sizes}')
