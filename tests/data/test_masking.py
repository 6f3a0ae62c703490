"""Masks made by the loader's workers, beside those that the model makes by itself."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from wamim_mm.data.masking import RandomDraw
from wamim_mm.hooks.masking import masked_collate
from wamim_mm.models import PretrainDataPreprocessor
from wamim_mm.ops.masking import (
    Masking,
    drawn_mask,
    pack_masking,
    sample_draws,
    sample_masks,
    unpack_masking,
)

from ..models.wamim.test_algorithm import SWIN, VIT, config, with_masks


def with_draws(draws):
    samples = [DataSample() for _ in draws]
    for sample, draw in zip(samples, draws, strict=True):
        sample.set_field(draw, 'draw')
    return samples


@pytest.fixture(params=[VIT, SWIN], ids=['vit', 'swin'])
def model(request):
    built = MODELS.build(config(request.param))
    built.init_weights()
    return built


def batch_of(count):
    images = torch.randint(256, (count, 3, 64, 64), dtype=torch.uint8)
    draws = np.random.default_rng(0).random(count).tolist()
    samples = with_draws(draws)
    return [dict(inputs=i, data_samples=s) for i, s in zip(images, samples, strict=True)]


def test_the_number_comes_from_numpys_generator():
    np.random.seed(3)  # noqa: NPY002
    first = RandomDraw()({})['draw']
    np.random.seed(3)  # noqa: NPY002
    assert RandomDraw()({})['draw'] == first != RandomDraw()({})['draw']
    assert 0 <= first < 1


def test_a_number_is_a_mask():
    draws = np.random.default_rng(0).random(2000).tolist()
    masks = torch.stack([drawn_mask(draw, (4, 4), 0.75) for draw in draws])
    assert (masks.flatten(1).sum(1) == 12).all()
    # Each unit is hidden as often as the others: 75 %, with a standard error of 1 %.
    assert (masks.float().mean(0) - 0.75).abs().max() < 0.04
    assert torch.equal(masks[7], drawn_mask(draws[7], (4, 4), 0.75))
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) > 1000  # of 1820


def test_workers_make_what_the_model_makes(model):
    """The slow twin: the same masks, layouts and losses in the training process."""
    samples = batch_of(4)
    batch = masked_collate(model)(samples)
    prepared = PretrainDataPreprocessor(mean=[127.0] * 3, std=[64.0] * 3)(batch, True)
    masking = prepared.pop('masking')
    mask = model.masks(**prepared)
    assert torch.equal(masking.mask, mask)
    own = torch.utils._pytree.tree_leaves(model.masking(**prepared).layout)
    made = torch.utils._pytree.tree_leaves(masking.layout)
    assert len(own) == len(made) and all(map(torch.equal, own, made))
    losses = model(**prepared, mode='loss', masking=masking)
    for name, loss in model(**prepared, mode='loss').items():
        assert torch.equal(loss, losses[name])
    for name, loss in model.loss(prepared['inputs'], with_masks(mask)).items():
        assert torch.equal(loss, losses[name])


def test_one_tensor_holds_them(model):
    """And comes back as the tensors that it was made of, through a worker's queue too."""
    mask = model.masks(torch.zeros(3, 3, 64, 64))
    masking = Masking(mask, model.backbone.geometry(mask))
    packed = pack_masking(masking)
    (values,) = (part for part in packed if isinstance(part, torch.Tensor))
    assert values.dtype == torch.int32
    (sent,) = torch.utils.data.DataLoader([packed], batch_size=None, num_workers=1)
    for found in (unpack_masking(packed), unpack_masking(sent)):
        assert type(found) is Masking and type(found.layout) is type(masking.layout)
        leaves = torch.utils._pytree.tree_leaves
        for a, b in zip(leaves(found), leaves(masking), strict=True):
            assert torch.equal(a, b) and a.dtype == b.dtype and a.is_contiguous()


def test_own_masks_win_and_leave_the_samples(model):
    grid = model.backbone.mask_grid(64, 64)
    own = drawn_mask(0.5, grid, 0.5)
    samples = batch_of(2)
    for sample in samples:
        sample['data_samples'].set_field(own, 'mask')
    batch = masked_collate(model)(samples)
    assert torch.equal(unpack_masking(batch['masking']).mask, torch.stack([own, own]))
    assert not any('mask' in sample for sample in batch['data_samples'])


def test_without_numbers_nothing_is_added(model):
    samples = [dict(inputs=torch.zeros(3, 64, 64), data_samples=DataSample()) for _ in range(2)]
    assert set(masked_collate(model)(samples)) == {'inputs', 'data_samples'}


def test_some_are_refused():
    samples = with_draws([0.25, 0.5])
    samples.append(DataSample())
    with pytest.raises(ValueError, match='2 masks for 3 images'):
        sample_masks(samples, (4, 4), 0.75)
    with pytest.raises(ValueError, match=r'2 numbers \(draw\) for 3 images'):
        sample_draws(samples)
    assert sample_draws([DataSample()]) is None


def test_masks_of_another_size_are_refused(model):
    batch = masked_collate(model)(batch_of(2))
    with pytest.raises(ValueError, match='need a mask of shape'):
        model.loss(torch.zeros(3, 3, 64, 64), masking=unpack_masking(batch['masking']))


@pytest.mark.gpu
def test_pinned_and_moved(model):
    pinned = torch.utils.data._utils.pin_memory.pin_memory(masked_collate(model)(batch_of(2)))
    assert pinned['masking'].values.is_pinned()
    preprocessor = PretrainDataPreprocessor(mean=[127.0] * 3, std=[64.0] * 3).cuda()
    moved = preprocessor(pinned, True)['masking']
    assert all(part.is_cuda for part in torch.utils._pytree.tree_leaves(moved))


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
def test_the_loss_never_waits_for_the_gpu(model, dtype):
    model.cuda()
    model.data_preprocessor = PretrainDataPreprocessor(mean=[127.0] * 3, std=[64.0] * 3).cuda()
    pinned = torch.utils.data._utils.pin_memory.pin_memory(masked_collate(model)(batch_of(4)))
    for _ in range(2):  # the first one sets cuBLAS up
        prepared = model.data_preprocessor(pinned, True)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode('error')
        try:
            with torch.autocast('cuda', dtype, enabled=dtype != torch.float32):
                sum(model(**prepared, mode='loss').values()).backward()
        finally:
            torch.cuda.set_sync_debug_mode('default')
