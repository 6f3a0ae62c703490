"""The backbone that a checkpoint holds: its architecture and its tensors."""

import sys
from dataclasses import dataclass, field
from functools import cached_property
from inspect import signature
from typing import Any, NamedTuple

from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from mmpretrain import models
from torch import Tensor

from ..class_names import LIBRARIES, builds, class_of, library_class
from ..interop.untrusted import check_untrusted, registered_only
from ..saved_config import backbone_config, parse_config, preprocessor_config

# Classes of mmpretrain, with the arguments that change what they compute and the values that other
# libraries support too, the default first. Ours and users' subclasses have the same tensors.
_CONVERTIBLE: dict[str, dict[str, list]] = {
    'VisionTransformer': dict(
        qkv_bias=[True],
        norm_cfg=[dict(type='LN', eps=1e-6)],
        with_cls_token=[True],
        pre_norm=[False],
        layer_scale_init_value=[0],
        patch_cfg=[{}],
        layer_cfgs=[{}],
    ),
    'SwinTransformer': dict(
        norm_cfg=[dict(type='LN'), dict(type='LN', eps=1e-5)],
        out_after_downsample=[False],
        use_abs_pos_embed=[False],
        patch_cfg=[{}],
        stage_cfgs=[{}],
    ),
    'ResNet': dict(
        stem_channels=[64],
        base_channels=[64],
        expansion=[None],
        num_stages=[4],
        strides=[(1, 2, 2, 2)],
        dilations=[(1, 1, 1, 1)],
        style=['pytorch'],
        deep_stem=[False],
        avg_down=[False],
        conv_cfg=[None],
        norm_cfg=[
            dict(type='BN', requires_grad=True),
            dict(type='BN'),
            dict(type='SyncBN', requires_grad=True),
            dict(type='SyncBN'),
        ],
    ),
}


#: Arguments of our encoders that change how they are trained, and not what they compute.
_OF_TRAINING = ('flex_attention',)


class Normalization(NamedTuple):
    """What is subtracted from images, and what they are divided by, channel by channel.

    For images in 0 to 1 whose colours are red, green and blue.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass
class Backbone:
    """A backbone as its checkpoint describes it.

    Attributes:
        host: The class of mmpretrain.
        args: Its arguments.
        tensors: Its state dict.
        config: The text of the run's config.
        model: The state dict of the whole model.
        classes: Names of the classes that the run has learned; empty if it had none.
    """

    host: str
    args: dict[str, Any]
    tensors: dict[str, Tensor]
    config: str
    model: dict[str, Tensor] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @property
    def in_channels(self) -> int:
        """Channels of its images."""
        return self.args.get('in_channels', 3)

    @cached_property
    def run(self) -> dict[str, Any]:
        """The run's config."""
        return parse_config(self.config)

    @cached_property
    def classifies(self) -> bool:
        """Whether the whole model is a classifier."""
        model = self.run.get('model', {})
        try:
            with registered_only():
                classifier = builds(
                    model, models.ImageClassifier, 'MODELS', self.run.get('default_scope')
                )
        except ValueError:  # somebody's own
            return False
        return classifier and bool(model.get('head'))

    def gives_token(self, module: BaseModule) -> bool:
        """Whether a ViT of this backbone is read by its class token, which classifiers alone train.

        All others are read by their patches.
        """
        return getattr(module, 'out_type', None) == 'cls_token' and self.classifies

    def image_size(self, module: BaseModule) -> tuple[int, int]:
        """Height and width of the images of a module of this backbone.

        A ResNet takes any, and gets those of the run's model, or ImageNet's.
        """
        if isinstance(module, models.VisionTransformer):
            return module.img_size
        if isinstance(module, models.SwinTransformer):
            return module.patch_embed.init_input_size
        size = self.run.get('model', {}).get('img_size', 224)
        return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))

    @cached_property
    def normalization(self) -> Normalization | None:
        """Of its images; None where other libraries cannot have it: colours from blue to red."""
        preprocessor = preprocessor_config(self.config)
        red_first = preprocessor.get('to_rgb') or preprocessor.get('bgr_to_rgb')
        if self.in_channels == 3 and not red_first:
            return None
        mean, std = (
            self._of_each_channel(preprocessor.get(name), default)
            for name, default in (('mean', 0.0), ('std', 1.0))
        )
        return Normalization(mean, std)

    def _of_each_channel(self, values: Any, default: float) -> tuple[float, ...]:
        """A value of 0 to 255 for each channel, from one, some or none, as one of 0 to 1."""
        values = default if values is None else values
        values = values if isinstance(values, list | tuple) else [values]
        values = list(values) * (self.in_channels if len(values) == 1 else 1)
        return tuple(round(value / 255, 6) for value in values)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The state dict without the index tables that follow from Swin's window size."""
        return {k: v for k, v in self.tensors.items() if 'relative_position_index' not in k}

    def build(self, target: str) -> BaseModule:
        """mmpretrain's module, with these tensors.

        Raises:
            ValueError: It has arguments that mmpretrain's class lacks.
            RuntimeError: The tensors are not those of the architecture.
        """
        host = getattr(models, self.host)
        own = sorted(set(self.args) - set(signature(host).parameters))
        if own:
            raise ValueError(
                f'{self.host} has no argument {", ".join(own)}, as its subclass in the checkpoint '
                f'has, so that it cannot be converted for {target}; --to mmpretrain takes any'
            )
        with registered_only():
            module = host(**self.args)
        module.load_state_dict(self.tensors)
        return module

    def convertible(self, target: str) -> BaseModule:
        """`build`, for a target whose own class is to compute the same.

        Raises:
            ValueError: That class cannot.
        """
        module = self.build(target)
        same = (
            {'stage_cfgs'} if target == 'timm' and _windows_are_timms(self.args, module) else set()
        )
        for name, supported in _CONVERTIBLE[self.host].items():
            if name in same:
                continue
            value = self.args.get(name, supported[0])
            value = tuple(value) if isinstance(value, list) else value
            if value not in supported and not (name == 'patch_cfg' and _is_patch(value)):
                only = 'its default' if supported == [{}] else ' or '.join(map(repr, supported))
                raise ValueError(
                    f'{self.host} with {name}={value!r} cannot be converted for {target}, only '
                    f'with {only}; --to mmpretrain takes any'
                )
        return module


def _is_patch(patch_cfg: Any) -> bool:
    """Whether it says the side of a patch alone, which all libraries have."""
    sides = [patch_cfg.get(name) for name in ('kernel_size', 'stride')]
    return len(patch_cfg) == 2 and isinstance(sides[0], int) and sides[0] == sides[1]


def _windows_are_timms(args: dict[str, Any], module: Any) -> bool:
    """Whether a Swin's stages differ only in their windows, and each is as in timm.

    timm's windows are no larger than the stage's grid. Swin-L is pre-trained like that: windows of
    14, and of 7 in the last stage, which has 7 x 7 tokens.
    """
    stages = args.get('stage_cfgs', {})
    if not isinstance(stages, list | tuple) or any(set(cfg) - {'window_size'} for cfg in stages):
        return False
    grids = (min(module.patch_resolution) // 2**i for i in range(len(module.stages)))
    windows = (stage.blocks[0].attn.window_size for stage in module.stages)
    largest = args['window_size']
    return all(window == min(largest, grid) for window, grid in zip(windows, grids, strict=True))


def read_backbone(checkpoint: str) -> Backbone:
    """Read a checkpoint. What it raises is listed at `export_backbone`."""
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu', logger='silent')
    meta = content.get('meta') if isinstance(content, dict) else None
    meta = meta if isinstance(meta, dict) else {}
    config = meta.get('cfg')
    if not isinstance(config, str):
        raise ValueError(
            f"{checkpoint} does not hold its run's config (meta.cfg), which says what its backbone "
            'is; take a checkpoint as the run has written it'
        )
    try:
        scope, args = backbone_config(config)
        check_untrusted(dict(args, type=None, _scope_=scope))  # of the type, `_host` says more
    except ValueError as error:
        raise ValueError(f'the config in {checkpoint} cannot be read: {error}') from error
    for name in ('init_cfg', *_OF_TRAINING):
        args.pop(name, None)
    registered = args.pop('type')
    host = _host(registered, scope)
    if host is None:
        raise ValueError(
            f'the backbone in {checkpoint} is {registered!r} in the scope {scope!r}; supported are '
            f"mmpretrain's {', '.join(_CONVERTIBLE)}, ours, and classes of your own that inherit "
            'from these, whose module --custom-imports names'
        )
    tensors = {
        name.removeprefix('backbone.'): tensor
        for name, tensor in content['state_dict'].items()
        if name.startswith('backbone.')
    }
    if not tensors:
        raise ValueError(f'{checkpoint} holds no tensor with a name in backbone.*')
    state = content['state_dict']
    classes = (meta.get('dataset_meta') or {}).get('classes') or ()
    return Backbone(host, args, tensors, config, state, tuple(classes))


def _host(name: str, scope: str | None) -> str | None:
    """The class of mmpretrain that a registered one is or inherits from, if it can be converted.

    A checkpoint may come from anybody, so it names no module that is imported, but those of the
    libraries.
    """
    module = name.rpartition('.')[0]
    if (
        module
        and module.split('.')[0] not in (*LIBRARIES, 'wamim_mm')
        and module not in sys.modules
    ):
        return None
    try:
        with registered_only():
            cls = class_of(dict(type=name), 'MODELS', scope)
    except ValueError:
        return None
    nearest = library_class(cls)
    return next((host for host in _CONVERTIBLE if getattr(models, host) is nearest), None)
