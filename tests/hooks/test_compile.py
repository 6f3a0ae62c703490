"""Compiled encoders and decoders: one graph each, and the same numbers."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from torch._dynamo.utils import counters

from wamim_mm.hooks.compile import compile_model
from wamim_mm.ops.masking import Masking, pack_masking, unpack_masking

VIT = dict(embed_dims=48, num_layers=12, num_heads=4, feedforward_channels=96)
SWIN = dict(embed_dims=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 2])


def small_model(root, name):
    cfg = Config.fromfile(root / 'configs' / 'pretrain' / f'{name}.py').model
    if 'r50' not in name:
        cfg.backbone.update(arch=VIT if 'vit' in name else SWIN, drop_path_rate=0.1)
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def step(model, seed):
    """Losses and gradients; masks, dropped paths and all are drawn from the seed."""
    torch.manual_seed(seed)
    images = torch.rand(2, 3, 224, 224)
    given = {}
    if hasattr(model.backbone, 'geometry'):  # as the loader's workers send it
        mask = model.masks(images)
        masking = Masking(mask, model.backbone.geometry(mask))
        given = dict(masking=unpack_masking(pack_masking(masking)))
    losses = model.loss(images, **given)
    model.zero_grad()
    sum(losses.values()).backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    return torch.stack(list(losses.values())), gradients


SLOW = pytest.mark.slow  # others of a kind, for minutes of compiling


@pytest.mark.parametrize(
    'name',
    [
        'wamim_vit-b',
        'wamim_swin-b',
        'mfm_vit-b',
        pytest.param('mfm_swin-b', marks=SLOW),
        pytest.param('mfm_r50', marks=SLOW),
    ],
)
def test_two_graphs_for_all_masks(root, name):
    """Masks of Swin have 16 to 19 window groups in stage 1: no graph is made for each."""
    model = small_model(root, name)
    if name == 'mfm_r50':  # batch statistics amplify rounding
        model.eval()
    compiled = copy.deepcopy(model)
    torch._dynamo.reset()
    counters.clear()
    # Traced and differentiated as on a GPU; generating code as well would take minutes.
    compile_model(compiled, backend='aot_eager')
    for seed in range(6):
        losses, gradients = step(compiled, seed)
        expected, expected_gradients = step(model, seed)
        torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(gradients, expected_gradients, rtol=1e-3, atol=1e-5)
    assert counters['stats']['unique_graphs'] == 2
    assert not counters['graph_break']
    assert compiled.state_dict().keys() == model.state_dict().keys()


@torch.no_grad()  # FlexAttention has no backward pass on a CPU
def test_flex_attention_is_in_the_graph(root):
    model = small_model(root, 'wamim_swin-b')
    compiled = copy.deepcopy(model)
    compiled.backbone.flex_attention = True
    torch._dynamo.reset()
    counters.clear()
    compile_model(compiled, backend='aot_eager')
    for seed in range(4):
        found, expected = [], []
        for losses, of in ((found, compiled), (expected, model)):
            torch.manual_seed(seed)
            losses += of.loss(torch.rand(2, 3, 224, 224)).values()
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert counters['stats']['unique_graphs'] == 2
    assert not counters['graph_break']


def test_numbers_of_groups_differ(root):
    """The test above would show nothing otherwise."""
    encoder = small_model(root, 'wamim_swin-b').backbone
    images, found = torch.rand(2, 3, 224, 224), set()
    for seed in range(6):
        torch.manual_seed(seed)
        mask = torch.rand(2, 49).argsort(1).view(2, 7, 7) >= 12
        layout = encoder.lay_out(images, mask)
        found.add(layout.groups[0][0].slots.shape[1])
    assert len(found) > 1


def test_others_are_refused():
    with pytest.raises(TypeError, match=r"Linear does not say what to compile.*'compile'"):
        compile_model(torch.nn.Linear(1, 1))
