"""ViTDet against a dense transcription with padded windows, and against mmpretrain's ViT."""

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models import VisionTransformer

from wamim_mm import ViTDet, WaMIMViT

from ..wamim.dense_reference import NEVER, randomize

ARCH = dict(embed_dims=24, num_layers=4, num_heads=3, feedforward_channels=48)


def vitdet(**kwargs):
    model = ViTDet(**dict(arch=ARCH, img_size=64, window_size=3) | kwargs)
    randomize(model)
    model.eval()  # mmpretrain's backbones return None
    return model


def dense_block(layer, x, window):
    """A block by one attention over all positions, padding included, in which windows are apart.

    Args:
        layer: mmpretrain's block.
        x: (N, H, W, C).
        window: Height and width of the windows.
    """
    (height, width), channels = x.shape[1:3], x.shape[3]
    padded = F.pad(layer.ln1(x), (0, 0, 0, -width % window[1], 0, -height % window[0]))
    row, column = (
        torch.arange(side) // step for side, step in zip(padded.shape[1:3], window, strict=True)
    )
    cell = (row[:, None] * 1000 + column).flatten()
    tokens = padded.flatten(1, 2)

    attn = layer.attn
    heads = (*tokens.shape[:2], 3, attn.num_heads, channels // attn.num_heads)
    q, k, v = attn.qkv(tokens).view(heads).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    scores = scores.masked_fill(cell[:, None] != cell, NEVER)
    out = attn.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2)).view_as(padded)
    x = x + out[:, :height, :width]
    hidden = F.gelu(layer.ffn.layers[0][0](layer.ln2(x)))
    return x + layer.ffn.layers[1](hidden)


@pytest.mark.parametrize('size', [(96, 96), (80, 112), (32, 160), (16, 16)], ids=str)
@pytest.mark.parametrize('global_blocks', [[1, 3], []], ids=str)
def test_windows_are_those_of_a_dense_attention(size, global_blocks):
    model = vitdet(global_blocks=global_blocks)
    x = torch.randn(2, 3, *size)
    grid = [side // 16 for side in size]
    (out,) = model(x)
    assert out.shape == (2, 24, *grid)

    pos_embed = model.pos_embed[:, 1:].unflatten(1, (4, 4)).permute(0, 3, 1, 2)
    pos_embed = F.interpolate(pos_embed, grid, mode='bicubic', align_corners=False)
    expected = (model.patch_embed.projection(x) + pos_embed).permute(0, 2, 3, 1)
    for i, layer in enumerate(model.layers):
        expected = dense_block(layer, expected, grid if i in global_blocks else (3, 3))
    expected = model.ln1(expected).permute(0, 3, 1, 2)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('kwargs', [{}, dict(layer_scale_init_value=0.3), dict(pre_norm=True)])
def test_without_windows_it_is_the_host(kwargs):
    kwargs = dict(arch=ARCH, img_size=64, with_cls_token=False, out_indices=[1, 3]) | kwargs
    model = vitdet(**kwargs, global_blocks=range(4))
    host = VisionTransformer(**kwargs, out_type='featmap')
    host.load_state_dict(model.state_dict())
    host.eval()
    for size in ((64, 64), (48, 80)):
        x = torch.randn(2, 3, *size)
        for ours, expected in zip(model(x), host(x), strict=True):
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_a_pretrained_encoder_fits_key_by_key(tmp_path):
    pretrained = WaMIMViT(arch=ARCH, img_size=64, out_indices=[0, 1, 2, 3])
    randomize(pretrained)
    state = pretrained.state_dict()
    path = tmp_path / 'pretrained.pth'
    torch.save({'state_dict': {f'backbone.{name}': t for name, t in state.items()}}, path)
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    model = ViTDet(arch=ARCH, img_size=64, init_cfg=init_cfg)
    model.init_weights()
    assert {name: t.shape for name, t in state.items()} == {
        name: t.shape for name, t in model.state_dict().items()
    }
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())


@pytest.mark.parametrize('with_cls_token', [True, False])
def test_every_trained_parameter_gets_a_gradient(with_cls_token):
    model = vitdet(with_cls_token=with_cls_token)
    model(torch.randn(1, 3, 80, 80))[0].square().sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert without == frozen == ['cls_token'] * with_cls_token


def test_activation_checkpointing_changes_nothing():
    x = torch.randn(2, 3, 80, 64)
    results = []
    for with_cp in (False, True):
        torch.manual_seed(1)
        model = vitdet(drop_path_rate=0.5, with_cp=with_cp)
        model.train()
        (out,) = model(x)
        out.square().sum().backward()
        results.append((out, [p.grad for p in model.parameters() if p.requires_grad]))
    (plain, grads), (again, other) = results
    torch.testing.assert_close(again, plain)
    torch.testing.assert_close(other, grads)


def test_a_path_is_dropped_for_whole_images():
    model = vitdet(arch=ARCH | dict(num_layers=1), global_blocks=[], final_norm=False)
    (layer,) = model.layers
    for parameter in layer.ffn.parameters():
        torch.nn.init.zeros_(parameter)  # what is left of the block is its attention
    x = torch.randn(1, 3, 96, 96).expand(32, -1, -1, -1)
    layer.drop_path.drop_prob = 1 - 1e-6
    model.train()
    dropped = model(x)[0]
    layer.drop_path.drop_prob = 0.5
    lost = torch.isclose(model(x)[0], dropped).flatten(1)  # (32, C * H * W)
    assert 0 < lost.all(1).sum() < 32
    assert (lost.all(1) | ~lost.any(1)).all()


def test_the_last_block_of_each_quarter_is_global():
    assert ViTDet(arch='deit-tiny').global_blocks == {2, 5, 8, 11}
    assert vitdet(arch=ARCH | dict(num_layers=6)).global_blocks == {1, 2, 4, 5}
    assert ViTDet(arch='deit-tiny').window_size == 14


def test_depth_of_layers_for_layer_decay():
    model = vitdet()
    depth = {
        name: model.get_layer_depth(f'backbone.{name}', 'backbone.')[0]
        for name, _ in model.named_parameters()
    }
    assert depth['pos_embed'] == depth['patch_embed.projection.weight'] == 0
    assert [depth[f'layers.{i}.attn.qkv.weight'] for i in range(4)] == [1, 2, 3, 4]
    assert depth['ln1.weight'] == 5


@pytest.mark.parametrize('blocks', [[4], [-1, 2]])
def test_refuses_blocks_that_are_not_there(blocks):
    with pytest.raises(ValueError, match=r'global_blocks must be in 0 to 3, got \[(4|-1)\]'):
        vitdet(global_blocks=blocks)
