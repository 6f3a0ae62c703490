"""A config's model with a checkpoint's weights, for commands that need no Runner."""

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader, load_state_dict
from torch import nn

from ..class_names import library_of
from ..hooks.checkpoint_fit import check_fit

__all__ = ['build_model', 'load_weights']


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
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    check_fit(model, checkpoint, strict=True)
    state = checkpoint.get('state_dict', checkpoint)
    load_state_dict(model, {name.removeprefix('module.'): state[name] for name in state})
    return checkpoint.get('meta', {})
