"""Hooks of MMEngine's Runner."""

from .bad_files import BadFilesHook
from .checkpoint_fit import CheckpointFitHook
from .class_count import ClassCountHook
from .compile import CompileHook
from .exact_resume import EpochPositionHook, StepSeedHook
from .finite_steps import FiniteStepsHook
from .finite_weights import FiniteWeightsHook
from .health import HealthHook
from .heartbeat import HeartbeatHook
from .loader_fit import LoaderFitHook
from .masking import MaskingHook
from .missed_validation import MissedValidationHook
from .pretrained_fit import PretrainedFitHook
from .resume import ResumeHook
from .stop import StopHook

__all__ = [
    'BadFilesHook',
    'CheckpointFitHook',
    'ClassCountHook',
    'CompileHook',
    'EpochPositionHook',
    'FiniteStepsHook',
    'FiniteWeightsHook',
    'HealthHook',
    'HeartbeatHook',
    'LoaderFitHook',
    'MaskingHook',
    'MissedValidationHook',
    'PretrainedFitHook',
    'ResumeHook',
    'StepSeedHook',
    'StopHook',
]
