"""Patches only: what is needed because other libraries differ from each other or have bugs."""

from functools import partial
from importlib import import_module

from . import frozen_stages, mmcv_ext, quick_imports
from .imports import after_import

__all__ = ['after_import', 'install']

# Module of a library -> the patch that is applied after its import, a module of this package.
_PATCHES = (
    ('mmengine.config', 'configs'),
    ('mmengine.config', 'data_root'),
    ('mmengine.utils.package_utils', 'installed_path'),
    ('mmengine.fileio.backends.local_backend', 'folders'),
    ('mmengine.logging', 'debug_prints'),
    ('mmengine._strategy.deepspeed', 'deepspeed_optimizers'),
    ('mmengine.hooks.checkpoint_hook', 'checkpoint_hook'),
    ('mmengine.runner.checkpoint', 'checkpoints'),
    ('mmengine.runner.checkpoint', 'saving'),
    ('mmengine.runner', 'accumulation'),
    ('mmengine.runner', 'data_workers'),
    ('mmengine.runner', 'meta_config'),
    ('mmengine.runner.activation_checkpointing', 'activation_checkpointing'),
    ('mmengine.registry.registry', 'untrusted'),
    ('mmengine.infer.infer', 'inferencer'),
    ('mmengine.visualization.vis_backend', 'full_disk'),
    ('mmengine.visualization.vis_backend', 'mlflow_backend'),
    ('mmpretrain.utils.dependency', 'multimodal'),
    ('mmpretrain.apis.model', 'model_index'),
    ('mmpretrain.apis.feature_extractor', 'feature_extractor'),
    ('mmpretrain.models', 'position_bias'),
    ('mmpretrain.models', 'window_batches'),
)


def install() -> None:
    """Have every patch applied as soon as its library is imported. Imports no library itself.

    The patches replace what mmcv lacks, make loading checkpoints safe, and let mmpretrain work with
    newer libraries; each module of this package says what it does.
    """
    mmcv_ext.install()
    quick_imports.install()
    frozen_stages.install()
    for module, patch in _PATCHES:
        after_import(module, partial(_apply, patch))


def _apply(patch: str) -> None:
    import_module(f'.{patch}', __name__).install()
