"""A config's model with a checkpoint's weights, for commands that need no Runner."""

from collections.abc import Set

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader, load_state_dict
from torch import nn

from ..class_names import library_of
from ..hooks.checkpoint_fit import check_fit
from ..interop.untrusted import check_untrusted
from ..saved_config import parse_config

__all__ = ['build_model', 'checkpoint_config', 'input_size', 'load_encoder', 'load_weights']


def checkpoint_config(path: str) -> Config:
    """The config of the run that has written a checkpoint, read as data.

    Modules that it would import are left out, but for this package.

    Raises:
        OSError, RuntimeError, pickle.UnpicklingError: The checkpoint cannot be read.
        ValueError: It holds no config, or one that would run code.
    """
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu', logger='silent')
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    text = meta.get('cfg') if isinstance(meta, dict) else None
    if text is None:
        raise ValueError(
            f"{path} does not hold its run's config (meta.cfg); give the config before it"
        )
    try:
        config = parse_config(text)
        check_untrusted(config)
    except ValueError as error:
        raise ValueError(
            f'the config in {path} cannot be read: {error}; give the config before it'
        ) from error
    config.pop('custom_imports', None)
    return Config(config)


def build_model(cfg: Config) -> BaseModel:
    """The config's model at random initialization, and its scope as the default scope.

    As in a Runner, ``data_preprocessor`` beside the model belongs to it.

    Raises:
        ValueError: See `class_of`.
    """
    init_default_scope(cfg.get('default_scope') or library_of(cfg))
    model = cfg.model.copy()
    if cfg.get('data_preprocessor'):
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    return MODELS.build(model)


def load_weights(model: nn.Module, path: str) -> dict:
    """Load all tensors of a model from a file.

    Returns:
        The checkpoint's ``meta``, empty where it has none.

    Raises:
        OSError, RuntimeError, pickle.UnpicklingError: The checkpoint cannot be read.
        ValueError: It does not fit the model.
    """
    return _load(model, path)


def load_encoder(model: nn.Module, path: str) -> None:
    """Load all tensors of a model's backbone from a file; others of the model stay as they are.

    Args:
        model: With a ``backbone``.
        path: A checkpoint of a whole model, or an encoder that was exported for mmpretrain.

    Raises:
        OSError, RuntimeError, pickle.UnpicklingError: The checkpoint cannot be read.
        ValueError: It does not fit the backbone.
    """
    encoder = nn.ModuleDict(dict(backbone=model.get_submodule('backbone')))
    _load(encoder, path, beside=model.state_dict().keys() - encoder.state_dict().keys())


def _load(module: nn.Module, path: str, beside: Set[str] = frozenset()) -> dict:
    """Load a module from a file that may hold other tensors beside; its ``meta``."""
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    check_fit(module, checkpoint, strict=True, beside=beside)
    state = checkpoint.get('state_dict', checkpoint)
    named = {name.removeprefix('module.'): tensor for name, tensor in state.items()}
    load_state_dict(module, {name: named[name] for name in named if name not in beside})
    return checkpoint.get('meta', {})


def input_size(model: BaseModel) -> tuple[int, int]:
    """Height and width of the encoder's images: of 224 pixels where nothing says another size."""
    backbone = getattr(model, 'backbone', None)
    size = getattr(model, 'img_size', None) or getattr(backbone, 'img_size', None)
    if size is None:  # mmpretrain's Swin keeps it there
        size = getattr(getattr(backbone, 'patch_embed', None), 'init_input_size', None) or 224
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
