"""A checkpoint's weights for a model that is looked at."""

from mmengine.runner.checkpoint import CheckpointLoader, load_state_dict
from torch import nn

from ..hooks.checkpoint_fit import check_fit

__all__ = ['load_weights']


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
