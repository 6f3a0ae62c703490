"""Masked image pre-training for OpenMMLab: WaMIM (wavelets) and MFM (frequencies).

In a config: ``custom_imports = dict(imports=['wamim_mm'])``. Importing the package is quick,
because it imports none of the libraries. Patches are applied to them when they are imported; our
classes are registered when a registry of MMEngine is asked for a name that it does not know, or
when one of them is used by name (``wamim_mm.WaMIM``). `wamim_mm.ops` needs only torch and
PyWavelets.
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
    'CPUAmpOptimWrapper': 'optim',
    'ClassCountHook': 'hooks',
    'ClassFolders': 'data',
    'CompileHook': 'hooks',
    'Corrupt': 'data',
    'DatasetsTestLoop': 'evaluation',
    'Deblur': 'models',
    'Denoise': 'models',
    'EpochPositionHook': 'hooks',
    'EpochSampler': 'data',
    'FiniteStepsHook': 'hooks',
    'FiniteWeightsHook': 'hooks',
    'FSDP2Strategy': 'strategies',
    'FrequencyFilter': 'models',
    'FrequencyLoss': 'models',
    'HealthHook': 'hooks',
    'HeartbeatHook': 'hooks',
    'LaterBatchSampler': 'data',
    'LayerDecayOptimWrapperConstructor': 'optim',
    'LoadImage': 'data',
    'LoadRandomResizedCrop': 'data',
    'LoaderFitHook': 'hooks',
    'MaskingHook': 'hooks',
    'MissedValidationHook': 'hooks',
    'MFM': 'models',
    'MergedOptimWrapperConstructor': 'optim',
    'MFMHead': 'models',
    'PicturesHook': 'evaluation',
    'PretrainDataPreprocessor': 'models',
    'PretrainedFitHook': 'hooks',
    'ProbeHook': 'evaluation',
    'ResumeHook': 'hooks',
    'RandomDraw': 'data',
    'SeededDataset': 'data',
    'ShardBackend': 'data',
    'ShardDataset': 'data',
    'SimpleFeaturePyramid': 'models',
    'StepSeedHook': 'hooks',
    'StopHook': 'hooks',
    'SubsetAccuracy': 'evaluation',
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
    for room in sorted(set(_ROOMS.values())):
        import_module(f'{__name__}.{room}')


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        register()
        return getattr(import_module(f'{__name__}.{_ROOMS[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def _register_at_first_miss() -> None:
    """Have the first name that no registry of MMEngine knows register our classes.

    Not the first lookup: a program of another library, which has no need of them, would import
    mmpretrain for nothing.
    """
    from mmengine.registry import Registry

    look_up = Registry.get
    lock = RLock()
    registering: list[bool] = []

    def get(registry: Registry, key: str) -> Any:
        found = look_up(registry, key)
        if found is not None:
            return found
        with lock:  # another thread waits until all is there
            if Registry.get is get and not registering:
                registering.append(True)
                try:
                    # Who has mmengine without mmpretrain uses our wavelets alone.
                    if find_spec('mmpretrain') is not None:
                        register()
                    Registry.get = look_up
                finally:
                    registering.clear()
        return look_up(registry, key)

    Registry.get = get


interop.install()
interop.after_import('mmengine.registry', _register_at_first_miss)
