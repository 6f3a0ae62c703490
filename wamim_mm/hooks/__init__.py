"""Hooks of MMEngine's Runner."""

from .checkpoint_fit import CheckpointFitHook
from .class_count import ClassCountHook
from .compile import CompileHook
from .exact_resume import EpochPositionHook, StepSeedHook
from .finite_weights import FiniteWeightsHook
from .heartbeat import HeartbeatHook
from .loader_fit import LoaderFitHook
from .masking import MaskingHook
from .pretrained_fit import PretrainedFitHook
from .resume import ResumeHook
from .stop import StopHook

__all__ = [
    'CheckpointFitHook',
    'ClassCountHook',
    'CompileHook',
    'EpochPositionHook',
    'FiniteWeightsHook',
    'HeartbeatHook',
    'LoaderFitHook',
    'MaskingHook',
    'PretrainedFitHook',
    'ResumeHook',
    'StepSeedHook',
    'StopHook',
]
