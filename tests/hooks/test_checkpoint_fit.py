"""CheckpointFitHook refuses checkpoints of other architectures."""

from types import SimpleNamespace

import pytest
import torch
from mmpretrain.registry import MODELS
from torch import nn

from wamim_mm import CheckpointFitHook


def check(strict, state, model=None, **more):
    runner = SimpleNamespace(model=model or nn.Sequential(nn.Linear(3, 2)))
    CheckpointFitHook(strict).after_load_checkpoint(runner, {'state_dict': state, **more})


def detector():
    """A backbone with a position embedding and a counter, and a head."""
    backbone = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    backbone.pos_embed = nn.Parameter(torch.zeros(1, 4, 2))
    return nn.ModuleDict(dict(backbone=backbone, head=nn.Linear(2, 1)))


def test_accepts_what_fits():
    own = nn.Sequential(nn.Linear(3, 2)).state_dict()
    check(True, own)
    check(True, {f'module.{name}': tensor for name, tensor in own.items()})


def test_fine_tuning_needs_the_whole_backbone():
    """But neither heads nor counters, and embeddings that hosts resize in any size."""
    own = detector().state_dict()
    backbone = {k: v for k, v in own.items() if k.startswith('backbone.')}
    check(False, backbone, detector())
    check(False, backbone | {'backbone.pos_embed': torch.zeros(1, 9, 2)}, detector())
    counters = [name for name in backbone if name.endswith('num_batches_tracked')]
    weights = {name: tensor for name, tensor in backbone.items() if name not in counters}
    assert len(counters) == 1 and len(weights) == 7
    check(False, weights, detector())
    for name in weights:
        with pytest.raises(ValueError, match=f'of 7 tensors 1 are missing .*{name} is missing'):
            check(False, {k: v for k, v in weights.items() if k != name}, detector())


def test_what_is_new_by_design_is_not_missing():
    """A ViT that pools first and norms after, from a checkpoint of pre-training."""
    backbone = dict(type='VisionTransformer', arch='deit-tiny', img_size=32)
    pooled = MODELS.build(dict(backbone, out_type='avg_featmap', final_norm=False))
    model = nn.ModuleDict(dict(backbone=pooled))
    trained = nn.ModuleDict(dict(backbone=MODELS.build(backbone))).state_dict()
    check(False, trained, model)
    check(False, model.state_dict(), model)
    with pytest.raises(ValueError, match=r'1 are missing .*backbone.ln2.bias is missing'):
        torn = {k: v for k, v in model.state_dict().items() if k != 'backbone.ln2.bias'}
        check(False, torn, model)
    with pytest.raises(ValueError, match=r'2 are missing .*backbone.ln2.weight is missing'):
        check(True, trained, model)


@pytest.mark.parametrize(
    ('strict', 'state', 'model', 'message'),
    [
        (True, {'0.bias': torch.zeros(2)}, None, 'of 2 tensors 1 are missing.*0.weight is missing'),
        (
            True,
            {'0.bias': torch.zeros(2), '0.weight': torch.zeros(2, 5)},
            None,
            r'1 have another shape,.*0.weight is \(2, 5\) in the checkpoint and \(2, 3\)',
        ),
        (True, {}, None, '2 tensors 2 are missing'),
        (
            True,
            nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)).state_dict(),
            None,
            r'0 are missing .* 2 of the checkpoint have no place \(1.weight is left over',
        ),
        (False, [1, 2], None, 'it holds a list, where tensors by name are expected'),
        (
            True,
            detector().state_dict() | {'backbone.pos_embed': torch.zeros(1, 9, 2)},
            detector(),
            r'of 10 tensors 0 are missing and 1 have another shape, .*\(backbone.pos_embed',
        ),
        (
            False,
            detector().state_dict() | {'backbone.0.weight': torch.zeros(2, 5)},
            detector(),
            r'of 7 tensors 0 are missing and 1 have another shape, .*\(backbone.0.weight',
        ),
    ],
)
def test_refuses(strict, state, model, message):
    with pytest.raises(ValueError, match=message):
        check(strict, state, model)


def test_tables_that_the_host_does_not_resize():
    """mmdet's and mmseg's Swin leave a table of another window at random, mmpretrain's does not."""
    swin = dict(arch=dict(embed_dims=8, depths=[1, 1], num_heads=[1, 2]), img_size=64)

    def built(window):
        cfg = dict(type='SwinTransformer', window_size=window, **swin, out_indices=[1])
        return nn.ModuleDict(dict(backbone=MODELS.build(cfg)))

    small, large = built(4).state_dict(), built(8)
    name = 'backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table'
    small[name] = small[name] + 5
    check(False, small, large)
    large.load_state_dict(dict(small), strict=False)
    assert (large.state_dict()[name] > 4).all()

    other = nn.ModuleDict(dict(backbone=nn.Module()))
    other.backbone.relative_position_bias_table = nn.Parameter(torch.zeros(9, 2))
    theirs = {'backbone.relative_position_bias_table': torch.zeros(25, 2)}
    with pytest.raises(ValueError, match=r'or load it by model\.backbone\.init_cfg\.checkpoint'):
        check(False, theirs, other)
