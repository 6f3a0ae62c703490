"""An ordinary config's optimizer in DeepSpeed's terms; its engine: tests/strategies."""

import pytest
from mmengine.config import Config

from wamim_mm.cli.deepspeed import use_deepspeed


def translated(strategy=None, **wrapper):
    optim = dict(optimizer=dict(type='AdamW', lr=1e-3), **wrapper)
    cfg = Config(dict(optim_wrapper=optim, strategy=dict(type='DeepSpeedStrategy')))
    cfg.strategy.update(strategy or {})
    use_deepspeed(cfg)
    return cfg


def test_a_plain_optimizer():
    cfg = translated()
    assert cfg.optim_wrapper.to_dict() == dict(
        type='DeepSpeedOptimWrapper', optimizer=dict(type='AdamW', lr=1e-3)
    )
    assert cfg.strategy.to_dict() == dict(
        type='DeepSpeedStrategy',
        zero_optimization=dict(stage=1),
        gradient_clipping=0.0,
        gradient_accumulation_steps=1,
    )


def test_all_that_has_a_counterpart():
    cfg = translated(
        type='AmpOptimWrapper',
        dtype='bfloat16',
        loss_scale=dict(enabled=False),
        clip_grad=dict(max_norm=3.0),
        accumulative_counts=4,
        paramwise_cfg=dict(norm_decay_mult=0.0),
    )
    assert set(cfg.optim_wrapper) == {'type', 'optimizer', 'paramwise_cfg'}
    assert cfg.strategy.gradient_clipping == 3.0
    assert cfg.strategy.gradient_accumulation_steps == 4
    assert cfg.strategy.config.torch_autocast.to_dict() == dict(enabled=True, dtype='bfloat16')
    on_a_cpu = translated(type='CPUAmpOptimWrapper').strategy
    assert on_a_cpu.config.torch_autocast.dtype == 'bfloat16'


def test_what_the_strategy_says_stays():
    own = dict(zero_optimization=dict(stage=3), gradient_clipping=1.0)
    strategy = translated(own, clip_grad=dict(max_norm=3.0)).strategy
    assert strategy.zero_optimization.stage == 3 and strategy.gradient_clipping == 1.0
    own = dict(config=dict(torch_autocast=dict(enabled=False), seed=1))
    settings = translated(own, type='CPUAmpOptimWrapper').strategy.config
    assert settings.to_dict() == dict(torch_autocast=dict(enabled=False), seed=1)
    cfg = translated(type='DeepSpeedOptimWrapper', clip_grad=dict(max_norm=3.0))
    assert 'clip_grad' in cfg.optim_wrapper and set(cfg.strategy) == {'type'}


@pytest.mark.parametrize(
    ('wrapper', 'said'),
    [
        (dict(clip_grad=dict(max_norm=1, norm_type=1)), 'max_norm and nothing else'),
        (dict(clip_grad=dict(type='value', clip_value=1)), 'max_norm and nothing else'),
        (dict(type='AmpOptimWrapper', loss_scale='dynamic'), 'float16.*use --amp bf16'),
        (dict(type='ApexOptimWrapper'), 'ApexOptimWrapper has no counterpart'),
    ],
)
def test_the_rest_is_refused(wrapper, said):
    with pytest.raises(ValueError, match=said):
        translated(**wrapper)


def test_a_file_of_settings():
    assert translated(dict(config='ds.json')).strategy.config == 'ds.json'
    with pytest.raises(ValueError, match=r'ds\.json; leave --amp out'):
        translated(dict(config='ds.json'), type='CPUAmpOptimWrapper')


def test_a_scaled_learning_rate(monkeypatch):
    """MMEngine's own strategy leaves it as it is."""
    monkeypatch.setenv('WORLD_SIZE', '2')
    cfg = Config(
        dict(
            launcher='pytorch',
            strategy=dict(type='DeepSpeedStrategy'),
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.016), accumulative_counts=4),
            train_dataloader=dict(batch_size=64),
            auto_scale_lr=dict(base_batch_size=2048, enable=True),
        )
    )
    use_deepspeed(cfg)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.004)
