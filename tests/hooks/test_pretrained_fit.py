"""PretrainedFitHook tells what hosts have loaded, whichever way they load."""

from types import SimpleNamespace

import mmdet.models
import mmpretrain.models
import mmseg.models
import pytest
import torch
from mmengine.config import ConfigDict

from wamim_mm import PretrainedFitHook, WaMIMSwinTransformer, WaMIMViT

SWIN = dict(
    embed_dims=8,
    depths=(1, 1, 2, 1),
    num_heads=(1, 2, 2, 2),
    window_size=4,
    out_indices=(0, 1, 2, 3),
)
ARCH = dict(embed_dims=8, depths=[1, 1, 2, 1], num_heads=[1, 2, 2, 2])
# 1 patch embedding, 5 blocks, 3 mergings and 4 norms; a block has a table and 6 pairs.
TENSORS = 4 + 5 * 13 + 3 * 3 + 4 * 2


@pytest.fixture
def checkpoint(tmp_path):
    """A pre-training checkpoint of a small Swin, every tensor drawn at random."""
    backbone = WaMIMSwinTransformer(ARCH, img_size=128, window_size=4, out_indices=(0, 1, 2, 3))
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter)
    state = {f'backbone.{name}': tensor for name, tensor in backbone.state_dict().items()}
    state['neck.weight'] = torch.zeros(3)
    torch.save(dict(state_dict=state), tmp_path / 'pretrained.pth')
    return tmp_path / 'pretrained.pth'


class Log(list):
    info = warning = list.append


def report(backbone, initialize=True, allow_partial=False, resume=False):
    """What the hook logs for a model with this backbone, in the order of a Runner."""
    log, model = Log(), torch.nn.ModuleDict(dict(backbone=backbone))
    runner = SimpleNamespace(model=model, logger=log, _resume=resume, _load_from=None)
    hook = PretrainedFitHook(allow_partial)
    hook.before_run(runner)
    if initialize:
        backbone.init_weights()
    hook.before_train(runner)
    return '; '.join(log)


def mmpretrain_swin(**kwargs):
    kwargs = dict(arch=ARCH, img_size=128, window_size=4, out_indices=(0, 1, 2, 3)) | kwargs
    return mmpretrain.models.SwinTransformer(**kwargs)


def mmdet_swin(**kwargs):
    return mmdet.models.SwinTransformer(**(SWIN | kwargs))


def mmseg_swin(**kwargs):
    return mmseg.models.SwinTransformer(**(SWIN | kwargs))


HOSTS = (mmpretrain_swin, mmdet_swin, mmseg_swin)


def pretrained(path):
    return ConfigDict(type='Pretrained', checkpoint=str(path), prefix='backbone.')


@pytest.mark.parametrize('host', HOSTS)
def test_the_three_hosts_load_all(host, checkpoint):
    said = report(host(init_cfg=pretrained(checkpoint)))
    assert said == f'loaded {TENSORS} of {TENSORS} backbone tensors, from {checkpoint}'


@pytest.mark.parametrize('host', HOSTS)
def test_a_host_that_did_not_load_is_found_out(host, checkpoint):
    with pytest.raises(ValueError, match=rf'did not load {TENSORS} \(.* and {TENSORS - 5} more\)'):
        report(host(init_cfg=pretrained(checkpoint)), initialize=False)


@pytest.mark.parametrize('host', HOSTS)
@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(depths=(1, 1, 3, 1)), r'13 \(stages\.2\.blocks\.2\..* missing there'),
        (dict(depths=(1, 1, 1, 1)), r'13 \(stages\.2\.blocks\.1\..* left over there'),
        (dict(mlp_ratio=2), r'ffn\.layers\.0\.0\.weight: \(32, 8\) there, \(16, 8\) here'),
    ],
)
def test_another_architecture_is_refused(host, checkpoint, change, message):
    if host is mmpretrain_swin and 'depths' in change:
        change = dict(arch=dict(ARCH, **change))
    elif host is mmpretrain_swin and 'mlp_ratio' in change:
        change = dict(stage_cfgs=dict(block_cfgs=dict(ffn_cfgs=dict(feedforward_channels=16))))
        message = 'of another shape'
    backbone = host(init_cfg=pretrained(checkpoint), **change)
    with pytest.raises(ValueError, match=message + r'.*tools/export_backbone\.py'):
        report(backbone)


@pytest.mark.parametrize('host', HOSTS)
def test_norms_of_outputs_that_a_host_does_not_have(host, checkpoint):
    said = report(host(init_cfg=pretrained(checkpoint), out_indices=(3,)))
    assert f'loaded {TENSORS - 6} of {TENSORS - 6} backbone tensors' in said
    assert '6 (norm0.weight, norm0.bias, norm1.weight,' in said
    assert 'of the checkpoint not used by design' in said


def test_a_misfit_can_be_accepted(checkpoint):
    backbone = mmseg_swin(init_cfg=pretrained(checkpoint), depths=(1, 1, 1, 1))
    said = report(backbone, allow_partial=True)
    assert '13 (stages.2.blocks.1' in said and f'loaded {TENSORS - 13} of {TENSORS - 13}' in said


def test_weights_meant_for_the_original_swin(checkpoint):
    """mmdet's own configs ask for a conversion that fails on our names, far from the cause."""
    backbone = mmdet_swin(init_cfg=pretrained(checkpoint), convert_weights=True)
    with pytest.raises(ValueError, match=r'set model\.backbone\.convert_weights=False'):
        report(backbone)


def test_resized_tables_count_as_loaded(checkpoint):
    said = report(mmpretrain_swin(init_cfg=pretrained(checkpoint), window_size=8))
    assert f'loaded {TENSORS} of {TENSORS} backbone tensors, 5 of them resized' in said


def test_names_of_another_library_are_refused(checkpoint):
    """mmseg's ViT has names of its own: of a pre-training checkpoint it takes nothing."""
    backbone = mmseg.models.VisionTransformer(
        img_size=32, embed_dims=8, num_layers=1, num_heads=2, init_cfg=pretrained(checkpoint)
    )
    with pytest.raises(ValueError, match=r'missing there.*left over.*tools/export_backbone\.py'):
        report(backbone)


def test_a_file_without_prefix_may_hold_a_head(tmp_path):
    """As torchvision's checkpoints do."""
    backbone = mmpretrain.models.ResNet(18, base_channels=8, stem_channels=8)
    state = dict(backbone.state_dict(), **{'fc.weight': torch.zeros(2, 3)})
    torch.save(state, tmp_path / 'resnet.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'resnet.pth'))
    backbone = mmpretrain.models.ResNet(18, base_channels=8, stem_channels=8, init_cfg=init_cfg)
    floats = sum(t.is_floating_point() for t in backbone.state_dict().values())
    assert f'loaded {floats} of {floats} ' in report(backbone)


VIT = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16)


@pytest.fixture
def vit_checkpoint(tmp_path):
    """A pre-training checkpoint of a small ViT, which ends in ``ln1``."""
    backbone = WaMIMViT(VIT, img_size=32)
    state = {f'backbone.{name}': tensor for name, tensor in backbone.state_dict().items()}
    path = tmp_path / 'vit.pth'
    torch.save(dict(state_dict=state), path)
    return path


def pooled_vit(path, **kwargs):
    """The fine-tuned ViT of MAE, LocalMIM and MFM: mean first, a new norm behind."""
    kwargs = dict(arch=VIT, img_size=32, out_type='avg_featmap', final_norm=False) | kwargs
    return mmpretrain.models.VisionTransformer(init_cfg=pretrained(path), **kwargs)


def test_a_norm_behind_the_pooling_is_new_by_design(vit_checkpoint):
    # cls_token, pos_embed, the embedding's 2, 12 in each of 2 blocks; ln2's 2 are new.
    assert report(pooled_vit(vit_checkpoint)) == (
        'loaded 28 of 30 backbone tensors, 2 (ln2.weight, ln2.bias) new by design, '
        '2 (ln1.weight, ln1.bias) of the checkpoint not used by design, '
        f'from {vit_checkpoint}'
    )


def test_a_fine_tuned_checkpoint_has_that_norm(tmp_path, vit_checkpoint):
    state = pooled_vit(vit_checkpoint).state_dict()
    path = tmp_path / 'fine-tuned.pth'
    torch.save(dict(state_dict={f'backbone.{name}': t + 1 for name, t in state.items()}), path)
    assert report(pooled_vit(path)) == f'loaded 30 of 30 backbone tensors, from {path}'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        # The final norm is no excuse for others, nor the pooling for half a norm.
        (lambda state: state.pop('backbone.layers.1.ln2.weight'), r'1 \(layers\.1\.ln2\.weight\)'),
        (lambda state: state.update({'backbone.ln2.bias': torch.zeros(8)}), r'1 \(ln2\.weight\)'),
    ],
)
def test_what_is_missing_for_another_reason_is_refused(vit_checkpoint, change, message):
    state = torch.load(vit_checkpoint)['state_dict']
    change(state)
    torch.save(dict(state_dict=state), vit_checkpoint)
    with pytest.raises(ValueError, match=message + ' missing there'):
        report(pooled_vit(vit_checkpoint))


def test_the_final_norm_must_be_there_where_it_is_used(vit_checkpoint):
    state = torch.load(vit_checkpoint)['state_dict']
    del state['backbone.ln1.weight']
    torch.save(dict(state_dict=state), vit_checkpoint)
    with pytest.raises(ValueError, match=r'1 \(ln1\.weight\) missing there'):
        report(pooled_vit(vit_checkpoint, out_type='featmap', final_norm=True))


def test_the_checkpoint_is_read_once_and_mapped(checkpoint, monkeypatch):
    calls, load = [], torch.load

    def counting(*args, **kwargs):
        calls.append(kwargs.get('mmap'))
        return load(*args, **kwargs)

    monkeypatch.setattr(torch, 'load', counting)
    monkeypatch.setattr('wamim_mm.hooks.pretrained_fit.CheckpointLoader', None)
    report(mmseg_swin(init_cfg=pretrained(checkpoint)))
    assert calls == [True]


def test_the_old_format_cannot_be_mapped_and_is_read(checkpoint):
    torch.save(torch.load(checkpoint), checkpoint, _use_new_zipfile_serialization=False)
    assert f'loaded {TENSORS} of {TENSORS}' in report(mmseg_swin(init_cfg=pretrained(checkpoint)))


def test_silent_where_there_is_nothing_to_check(checkpoint):
    assert report(mmdet_swin()) == ''
    assert report(mmdet_swin(init_cfg=pretrained(checkpoint)), initialize=False, resume=True) == ''
