"""Masked image pre-training for OpenMMLab: WaMIM (wavelets) and MFM (frequencies).

In a config: ``custom_imports = dict(imports=['wamim_mm'])``. Importing the package is quick,
because it imports none of the libraries. Patches are applied to them when they are imported; our
classes are registered at the first lookup in a registry of MMEngine, or when one of them is used by
name (``wamim_mm.WaMIM``). `wamim_mm.ops` needs only torch and PyWavelets.
"""

from importlib import import_module
from importlib.util import find_spec
from threading import RLock
from typing import Any

from . import interop
from .version import __version__

# Public name -> the room that it is in.
_ROOMS = {
    'BadFilesHook': 'hooks',
    'CheckpointFitHook': 'hooks',
    'ClassCountHook': 'hooks',
    'ClassFolders': 'data',
    'CompileHook': 'hooks',
    'Corrupt': 'data',
    'Deblur': 'models',
    'Denoise': 'models',
    'EpochPositionHook': 'hooks',
    'EpochSampler': 'data',
    'FiniteWeightsHook': 'hooks',
    'FrequencyFilter': 'models',
    'FrequencyLoss': 'models',
    'HeartbeatHook': 'hooks',
    'LayerDecayOptimWrapperConstructor': 'optim',
    'LoadImage': 'data',
    'LoadRandomResizedCrop': 'data',
    'LoaderFitHook': 'hooks',
    'MaskingHook': 'hooks',
    'MFM': 'models',
    'MergedOptimWrapperConstructor': 'optim',
    'MFMHead': 'models',
    'PretrainDataPreprocessor': 'models',
    'PretrainedFitHook': 'hooks',
    'ResumeHook': 'hooks',
    'RandomDraw': 'data',
    'SeededDataset': 'data',
    'SimpleFeaturePyramid': 'models',
    'StepSeedHook': 'hooks',
    'StopHook': 'hooks',
    'SuperResolution': 'models',
    'ViTDet': 'models',
    'WaMIM': 'models',
    'WaMIMDecoder': 'models',
    'WaMIMHead': 'models',
    'WaMIMSwinTransformer': 'models',
    'WaMIMViT': 'models',
    'WaveletTargetGenerator': 'models',
}

__all__ = [*_ROOMS, '__version__', 'register']


def register() -> None:
    """Make every class of this package known to the registries; calling it again is harmless.

    Raises:
        ImportError: A library is missing, too old, or does not fit another.
    """
    from .interop.versions import check_versions

    check_versions()
    for room in ('data', 'evaluation', 'hooks', 'models', 'optim'):
        import_module(f'{__name__}.{room}')


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        register()
        return getattr(import_module(f'{__name__}.{_ROOMS[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def _register_at_first_lookup() -> None:
    """Have the first lookup in any registry of MMEngine register our classes before it."""
    from mmengine.registry import Registry

    look_up = Registry.import_from_location
    lock = RLock()
    registering: list[bool] = []

    def register_first(registry: Registry) -> None:
        with lock:  # another thread waits until all is there
            if not registering and Registry.import_from_location is register_first:
                registering.append(True)
                try:
                    # Who has mmengine without mmpretrain uses our wavelets alone.
                    if find_spec('mmpretrain') is not None:
                        register()
                    Registry.import_from_location = look_up
                finally:
                    registering.clear()
        look_up(registry)

    Registry.import_from_location = register_first


interop.install()
interop.after_import('mmengine.registry', _register_at_first_lookup)
