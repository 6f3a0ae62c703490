"""mmpretrain lists its own models only, unless somebody registers others by hand."""

import functools
from pathlib import Path


def install() -> None:
    """Let ``mmpretrain.list_models`` and ``get_model`` know the models of this package.

    Their files are read when mmpretrain's own are. Calling it again is harmless.
    """
    from mmpretrain.apis.model import ModelHub

    register_mmpretrain = ModelHub._register_mmpretrain_models
    if hasattr(register_mmpretrain, '__wrapped__'):
        return

    @functools.wraps(register_mmpretrain)
    def register_both() -> None:
        register_mmpretrain()
        if not ModelHub.has('wamim_vit-b'):
            home = Path(__file__).parents[1] / '.mim'
            for folder in ('pretrain', 'cls'):
                file = home / 'configs' / folder / 'metafile.yml'
                ModelHub.register_model_index(file, config_prefix=home)

    ModelHub._register_mmpretrain_models = register_both
