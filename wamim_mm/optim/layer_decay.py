"""Layer-wise learning rate decay for the backbones of mmpretrain, mmdet and mmsegmentation."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmpretrain.engine import LearningRateDecayOptimWrapperConstructor
from mmpretrain.models import ResNet, SwinTransformer, VisionTransformer
from torch import nn

from .groups import merge_groups

OPTIONS = {
    'layer_decay_rate',
    'norm_decay_mult',
    'bias_decay_mult',
    'flat_decay_mult',
    'custom_keys',
    'print_groups',
}
PREFIX = 'backbone.'


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(LearningRateDecayOptimWrapperConstructor):
    """Learning rates that shrink from the head down to the first layer, as BEiT fine-tunes.

    With ``L`` blocks, the patch embedding has depth 0, block ``i`` (0-based) depth ``i + 1``, and
    the norms behind the blocks and everything outside ``model.backbone`` depth ``L + 1``. A
    parameter of depth ``d`` learns with ``lr * layer_decay_rate ** (L + 1 - d)``. Depths are
    mmpretrain's, which counts two or three blocks of a ResNet or ConvNeXt as one; a backbone of
    mmdet or mmsegmentation gets what mmpretrain's backbone of the same parameter names gets.
    Frozen parameters are left out.

    In a config::

        optim_wrapper = dict(
            optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
            constructor='LayerDecayOptimWrapperConstructor',
            paramwise_cfg=dict(layer_decay_rate=0.65, flat_decay_mult=0.0, print_groups=True))

    ``paramwise_cfg`` may hold:

    - ``layer_decay_rate`` (float): above 0, at most 1. Required.
    - ``norm_decay_mult``, ``bias_decay_mult``, ``flat_decay_mult`` (float): factors on the weight
      decay of norms, of biases and of one-dimensional parameters; the first that fits counts.
    - ``custom_keys`` (dict): ``{part of a name: dict(decay_mult=...)}``, before the three above.
    - ``print_groups`` (bool): log a table of depths, learning rates and weight decays.

    Raises:
        ValueError: The rate is out of range, ``paramwise_cfg`` holds what has no effect here, the
            optimizer has no ``lr`` or ``weight_decay``, or the layers of the model's backbone are
            not known.
    """

    def _validate_cfg(self) -> None:
        for key in ('lr', 'weight_decay'):
            if self.optimizer_cfg.get(key) is None:
                raise ValueError(f'layer decay: the optimizer needs {key!r}, which is scaled')
        super()._validate_cfg()
        rate = self.paramwise_cfg.get('layer_decay_rate')
        if rate is None or not 0 < rate <= 1:
            raise ValueError(
                f'layer decay: layer_decay_rate must be above 0 and at most 1, got {rate}; '
                'set it in paramwise_cfg'
            )
        custom = self.paramwise_cfg.get('custom_keys', {})
        unused = [key for key in self.paramwise_cfg if key not in OPTIONS]
        unused += [f'custom_keys[{key!r}].lr_mult' for key in custom if 'lr_mult' in custom[key]]
        if unused:
            raise ValueError(
                f'layer decay: {", ".join(unused)} would have no effect; remove it from '
                f'paramwise_cfg, whose options are {", ".join(sorted(OPTIONS))}'
            )

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        get_layer_depth: Callable | None = None,
        **kwargs,
    ) -> None:
        """Append a group for each learning rate and weight decay of the trainable parameters."""
        get_layer_depth = get_layer_depth or layer_depths(module)
        super().add_params(params, module, prefix, get_layer_depth, **kwargs)
        if prefix:
            return
        params[:] = merge_groups(params)
        if self.paramwise_cfg.get('print_groups'):
            print_log(f'parameter groups:\n{groups_table(params)}', logger='current')


def layer_depths(model: nn.Module) -> Callable[[str], tuple[int, int]]:
    """The function from a parameter's name to its depth and the number of depths, ``L + 2``.

    Args:
        model: Any model with a ``backbone``.

    Raises:
        ValueError: There is no backbone, or no rule for it.
    """
    backbone = getattr(model, 'backbone', None)
    if backbone is None:
        raise ValueError(f'layer decay: {type(model).__name__} has no backbone to tell layers of')
    rule = _rule(backbone)
    problem = (
        f'layer decay: the layers of {type(backbone).__name__} in {type(model).__name__} are not '
        'known; give the backbone a method get_layer_depth(param_name, prefix) as '
        "mmpretrain's have, or use optim_wrapper.constructor=DefaultOptimWrapperConstructor"
    )
    if rule is None:
        raise ValueError(problem)

    def depths(name: str) -> tuple[int, int]:
        try:
            return rule(name, PREFIX)
        except NotImplementedError as error:  # a ResNet of a depth that mmpretrain does not list
            raise ValueError(problem) from error

    return depths


def _rule(backbone: BaseModule) -> Callable[[str, str], tuple[int, int]] | None:
    """mmpretrain's rule for this backbone.

    The backbones of mmdet and mmsegmentation have no rule of their own. But their structure and
    names are those of mmpretrain, whose rules read only the numbers of blocks from a backbone.
    """
    if hasattr(backbone, 'get_layer_depth'):
        return backbone.get_layer_depth
    if hasattr(backbone, 'stage_blocks'):
        return partial(ResNet.get_layer_depth, backbone)
    stages, layers = getattr(backbone, 'stages', []), getattr(backbone, 'layers', [])
    if stages and all(hasattr(stage, 'blocks') for stage in stages):
        numbers = SimpleNamespace(depths=[len(stage.blocks) for stage in stages])
        return partial(SwinTransformer.get_layer_depth, numbers)
    if layers and all(hasattr(layer, 'attn') for layer in layers):
        numbers = SimpleNamespace(num_layers=len(layers))
        return partial(VisionTransformer.get_layer_depth, numbers)
    return None


def groups_table(params: list[dict]) -> str:
    """A table of parameter groups: a line for each depth and weight decay, the head last.

    Args:
        params: Groups as the constructor makes them.
    """
    rows = [('depth', 'lr scale', 'lr', 'weight decay', 'tensors', 'parameters', 'for example')]
    for group in sorted(params, key=lambda group: (group['layer_id'], group['weight_decay'])):
        numbers = (group[key] for key in ('layer_id', 'lr_scale', 'lr', 'weight_decay'))
        sizes = [parameter.numel() for parameter in group['params']]
        rows.append(
            (
                *(f'{n:.4g}' for n in numbers),
                f'{len(sizes)}',
                f'{sum(sizes):,}',
                group['param_name'],
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join('  '.join(map(str.ljust, row, widths)).rstrip() for row in rows)
