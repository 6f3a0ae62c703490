"""A config's model as a Runner would build it, for commands that need no Runner."""

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope

from ..class_names import library_of


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
