"""What `wamim pretrain` chooses."""

import itertools
import math
import re

import pytest
import torch
from mmengine.config import Config

from wamim_mm.cli import precision, presets
from wamim_mm.cli.pretrain import Choice, chosen_model, config_text
from wamim_mm.cli.progress import duration
from wamim_mm.evaluation.models import build_model

CHOICES = [(method, model) for method, models in presets.MODELS.items() for model in models]


@pytest.mark.parametrize(
    ('short_side', 'size'), [(8, 32), (32, 32), (63, 32), (64, 64), (100, 96), (4000, 224)]
)
def test_crops_are_no_larger_than_most_images(short_side, size):
    assert presets.image_size(short_side, 'wamim', 'vit-s') == size


@pytest.mark.parametrize(('method', 'model'), CHOICES)
def test_every_model_takes_the_size_that_is_chosen_for_it(method, model):
    for short_side in range(8, 300):
        size = presets.image_size(short_side, method, model)
        presets.check_size(method, model, size)
        assert size <= max(short_side, 64 if (method, model[:4]) == ('wamim', 'swin') else 32)


def test_epochs_follow_the_number_of_images():
    assert [presets.longest_epochs(10**n) for n in (1, 3, 4, 5, 6)] == [800, 800, 300, 100, 100]
    assert presets.longest_epochs(5000) == 420


def test_batches_leave_steps_in_an_epoch_and_rates_follow_their_root():
    found = presets.recipe(10_000, 300, 256, 'mfm', 'r18')
    assert (found.batch_size, found.lr, found.warm_up) == (256, 1e-3, 30)
    assert presets.recipe(10_000, 300, 64, 'wamim', 'swin-t').lr == 5e-4
    assert presets.recipe(10_000, 300, 16, 'wamim', 'vit-ti').lr == 1e-3  # the study's, halved
    assert presets.recipe(10_000, 300, 64, 'mfm', 'vit-ti').lr == 1e-3
    assert presets.recipe(10**6, 100, 1024).lr == 1.6e-3  # the recipes' for 2048
    for images, largest in itertools.product((1, 7, 8, 100, 5000), (1, 3, 64)):
        batch = presets.recipe(images, 1, largest).batch_size
        assert 1 <= batch <= largest
        assert images < 16 or images // batch >= presets.LEAST_STEPS
        assert batch & (batch - 1) == 0


def test_every_other_size_is_refused_before_the_model_is_built():
    presets.check_size('wamim', 'vit-s', 96)
    with pytest.raises(ValueError, match=r'--img-size 100: must be a multiple of 16 for vit-s'):
        presets.check_size('wamim', 'vit-s', 100)
    with pytest.raises(ValueError, match='from 32 on'):
        presets.check_size('mfm', 'r18', 16)


@pytest.mark.parametrize('size', presets.SIZES)
@pytest.mark.parametrize(('method', 'model'), CHOICES)
def test_the_config_builds_a_model_for_these_images(method, model, size, tmp_path):
    """ViTs on the meta device, without memory; of the others the large ones at one size."""
    if (method, model[:4], size) == ('wamim', 'swin', 32):
        with pytest.raises(ValueError, match=r'from 64 on, .* the nearest is 64'):
            presets.check_size(method, model, size)
        return
    presets.check_size(method, model, size)
    if (model in ('swin-b', 'r50') and size != 224) or (size in (160, 192) and model[:3] != 'vit'):
        pytest.skip('as another of these')
    choice = Choice(
        str(tmp_path), method, model, size, presets.recipe(5000, 10, 64), 78, False, None
    )
    cfg = Config.fromstring(config_text(choice), '.py')
    with torch.device('meta' if model.startswith('vit') else 'cpu'):
        built = build_model(cfg)
    assert built.img_size == (size, size)
    assert cfg.train_dataloader.dataset.pipeline[0].scale == size
    assert cfg.train_dataloader.batch_size == 64 and cfg.train_cfg.max_epochs == 10
    if method == 'wamim':
        side = size // built.backbone.mask_unit
        assert side >= 4 and max(built.target_generator.levels) <= 5
        # The deepest feature predicts the coarsest level, two tokens of the finest encoder wide.
        assert 2 ** built.target_generator.levels[-1] <= 2 * built.backbone.mask_unit


@pytest.mark.parametrize('model', ['vit-ti', 'vit-s'])
def test_mfm_starts_an_encoder_of_few_channels_as_mae(model, tmp_path):
    recipe = presets.recipe(5000, 10, 64, 'mfm', model)
    choice = Choice(str(tmp_path), 'mfm', model, 64, recipe, 78, False, None)
    built = build_model(Config.fromstring(config_text(choice), '.py'))
    built.init_weights()
    weight = built.backbone.layers[0].attn.qkv.weight
    xavier = math.sqrt(2 / sum(weight.shape))
    if model == 'vit-ti':
        assert weight.std().item() == pytest.approx(xavier, rel=0.02)
    else:
        assert 0 < weight.abs().max() <= 0.02 < xavier


@pytest.mark.parametrize('has_bf16', [True, False])
def test_the_config_of_a_gpu_has_its_precision(tmp_path, monkeypatch, has_bf16):
    """As the run itself, so that by hand it takes the same steps."""
    monkeypatch.setattr(precision, 'get_device', lambda: 'cuda')
    # Every GPU emulates it.
    monkeypatch.setattr(
        torch.cuda,
        'is_bf16_supported',
        lambda including_emulation=True: including_emulation or has_bf16,
    )
    given = (str(tmp_path), 'wamim', 'vit-s', 96, presets.recipe(5000, 10, 64), 78)
    plain, cfg = (
        Config.fromstring(config_text(Choice(*given, gpu, None)), '.py') for gpu in (False, True)
    )
    assert plain.optim_wrapper.type == 'OptimWrapper'
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.dtype == ('bfloat16' if has_bf16 else 'float16')
    precision.use_amp(plain, 'auto')
    assert plain.optim_wrapper == cfg.optim_wrapper


def test_every_size_suits_some_vit():
    for size in presets.SIZES:
        presets.check_size('wamim', 'vit-s', size)


def test_models_and_methods_follow_from_each_other():
    class Given:
        model = method = None

    assert chosen_model(Given, gpu=True) == ('wamim', 'vit-s')
    assert chosen_model(Given, gpu=False) == ('wamim', 'vit-ti')
    Given.model = 'r50'
    assert chosen_model(Given, gpu=True) == ('mfm', 'r50')
    Given.method = 'wamim'
    with pytest.raises(ValueError, match=r'--model r50: wamim takes vit-ti, .* --method mfm'):
        chosen_model(Given, gpu=True)


def test_durations():
    assert [duration(s) for s in (1, 600, 7300, 90_000, 260_000)] == [
        *('1 min', '10 min', '2 hours', '25 hours', '3 days')
    ]


@pytest.mark.parametrize(('model', 'norm'), [('vit-s', 'block'), ('swin-t', None)])
def test_what_the_study_has_chosen(model, norm):
    options = presets.model_options('wamim', model, 96)
    assert options['target_generator'].get('norm') == norm


def test_the_documents_tell_how_to_fine_tune_what_it_makes(root, tmp_path):
    """Their config has a place for each tensor of the encoder, but for the norm of the recipe."""
    text = (root / 'docs/labelled-data.md').read_text()
    block = re.search(r'^```python\n(_base_ = .*?)^```$', text, re.MULTILINE | re.DOTALL)[1]
    recipe = presets.recipe(5000, 10, 64)
    choice = Choice(str(tmp_path), 'wamim', 'vit-ti', 96, recipe, 78, False, None)
    with torch.device('meta'):
        classifier, pretrained = (
            build_model(Config.fromstring(config, '.py')) for config in (block, config_text(choice))
        )
    wanted, given = (
        {name: tensor.shape for name, tensor in model.backbone.state_dict().items()}
        for model in (classifier, pretrained)
    )
    own = {f'ln2.{name}' for name in ('weight', 'bias')}
    assert wanted.keys() - given.keys() == own and len(given) == 150
    assert {name: given[name] for name in wanted.keys() - own} == {
        name: shape for name, shape in wanted.items() if name not in own
    }
    assert classifier.head.in_channels == wanted['ln2.weight'][0]
