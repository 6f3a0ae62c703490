"""Frozen stages of every Swin are frozen when DDP looks at them: when the model is built."""

import pytest
from mmengine.registry import init_default_scope

import wamim_mm


def swins():
    from mmpretrain.models import SwinTransformer, SwinTransformerV2

    arch = dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1])
    yield lambda n: SwinTransformer(arch, img_size=64, window_size=2, frozen_stages=n)
    yield lambda n: SwinTransformerV2(
        arch | dict(extra_norm_every_n_blocks=0), img_size=64, window_size=2, frozen_stages=n
    )
    yield lambda n: wamim_mm.WaMIMSwinTransformer(arch, img_size=64, window_size=2, frozen_stages=n)
    kwargs = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1), window_size=2)
    mmdet = pytest.importorskip('mmdet.models.backbones')
    yield lambda n: mmdet.SwinTransformer(frozen_stages=n, **kwargs)
    mmseg = pytest.importorskip('mmseg.models.backbones')
    yield lambda n: mmseg.SwinTransformer(frozen_stages=n, **kwargs)


def trained(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_frozen_before_training():
    init_default_scope('mmpretrain')
    count = 0
    for build in swins():
        built = build(1)
        before = trained(built)
        assert before < trained(build(-1))
        assert not any(name.startswith('patch_embed') for name in before)
        built.train()  # the libraries' own moment changes nothing any more
        assert trained(built) == before
        count += 1
    assert count == 5
