"""DeepSpeed's engine takes the steps that a config's ``optim_wrapper`` describes."""

from pathlib import Path

from mmengine.config import Config

from ..class_names import short_name
from .settings import is_of_deepspeed, process_count

#: Kinds of `optim_wrapper` that have a counterpart, and the type that autocast computes in.
DTYPES = {'OptimWrapper': None, 'CPUAmpOptimWrapper': 'bfloat16', 'AmpOptimWrapper': 'float16'}


def by_deepspeed(cfg: Config) -> bool:
    """Whether DeepSpeed's engine trains."""
    strategy = cfg.get('strategy') or {}
    return short_name(strategy) == 'DeepSpeedStrategy'


def loads_own(cfg: Config) -> bool:
    """Whether the engine loads a checkpoint of its own, which is a folder."""
    return by_deepspeed(cfg) and is_of_deepspeed(Path(cfg.load_from))


def use_deepspeed(cfg: Config) -> None:
    """Say in a config's ``strategy`` what its ``optim_wrapper`` says, for ``DeepSpeedStrategy``.

    Clipping, accumulation and mixed precision by autocast become settings of the engine, which
    shards the optimizer's states (ZeRO, stage 1). What ``strategy`` says itself stays. A config
    whose wrapper is MMEngine's ``DeepSpeedOptimWrapper`` is left alone.

    Args:
        cfg: The config, which is changed.

    Raises:
        ValueError: The wrapper has something that the engine has not.
    """
    wrapper, strategy = cfg.optim_wrapper, cfg.strategy
    name = short_name(wrapper) or 'OptimWrapper'
    if name == 'DeepSpeedOptimWrapper':
        return
    if name not in DTYPES:
        raise ValueError(
            f'strategy.type=DeepSpeedStrategy: optim_wrapper.type={name} has no counterpart in '
            'DeepSpeed; set OptimWrapper or AmpOptimWrapper'
        )
    dtype = wrapper.pop('dtype', None) or DTYPES[name]
    wrapper.pop('loss_scale', None)
    wrapper.type = 'DeepSpeedOptimWrapper'
    strategy.setdefault('zero_optimization', dict(stage=1))

    clip = wrapper.pop('clip_grad', None)
    if clip and (set(clip) - {'max_norm', 'norm_type'} or clip.get('norm_type', 2) != 2):
        raise ValueError(
            'strategy.type=DeepSpeedStrategy: DeepSpeed clips by the norm of the gradients alone, '
            f'got optim_wrapper.clip_grad={dict(clip)}; set max_norm and nothing else'
        )
    # Newer versions clip at 1 unless they are told not to.
    strategy.setdefault('gradient_clipping', clip['max_norm'] if clip else 0.0)
    strategy.setdefault('gradient_accumulation_steps', wrapper.pop('accumulative_counts', 1))
    _scale_rate(cfg)

    if dtype is None:
        return
    dtype = str(dtype).removeprefix('torch.')
    if dtype != 'bfloat16':
        raise ValueError(
            f'strategy.type=DeepSpeedStrategy: autocast in {dtype} needs a loss scale, which '
            'DeepSpeed has for models in half precision alone; use --amp bf16'
        )
    settings = strategy.get('config') or {}
    if isinstance(settings, str):
        raise ValueError(
            f'strategy.type=DeepSpeedStrategy: mixed precision and a file of settings, {settings}; '
            'leave --amp out and set torch_autocast in the file, or strategy.config.torch_autocast'
        )
    strategy.config = dict(dict(torch_autocast=dict(enabled=True, dtype=dtype)), **settings)


def _scale_rate(cfg: Config) -> None:
    """Do what ``auto_scale_lr`` asks for; MMEngine's strategy for DeepSpeed does not."""
    scale = cfg.get('auto_scale_lr') or {}
    if scale.get('enable'):
        images = cfg.train_dataloader.batch_size * process_count(cfg.get('launcher', 'none'))
        images *= cfg.strategy.gradient_accumulation_steps
        cfg.optim_wrapper.optimizer.lr *= images / scale['base_batch_size']
