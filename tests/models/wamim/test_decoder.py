"""WaMIMDecoder: grids, equivariances, and what it refuses."""

import pytest
import torch

from wamim_mm import WaMIMDecoder
from wamim_mm.ops import VisibleTokens, gather_tokens
from wamim_mm.ops.masking import random_mask, unit_tokens, visible_units


def build(**kwargs):
    defaults = dict(
        in_channels=[24],
        feature_strides=[8],
        features_normed=[False],
        levels=(2,),
        out_channels=12,
        img_size=(64, 96),
    )
    decoder = WaMIMDecoder(**(defaults | dict(strides=8, embed_dims=32, num_heads=4) | kwargs))
    decoder.init_weights()
    return decoder.eval()


def visible(mask, side, channels):
    """Random features of the visible tokens, ``side`` of them along a unit."""
    positions = unit_tokens(visible_units(mask), mask.shape[2], side)
    return VisibleTokens(torch.randn(*positions.shape, channels), positions, None)


@pytest.mark.parametrize('num_layers', [1, 2])
@pytest.mark.parametrize('stride', [8, 16, 32])
@pytest.mark.parametrize('level', [1, 2, 3, 4, 5])
def test_shapes(level, stride, num_layers):
    decoder = build(levels=(level,), strides=stride, num_layers=num_layers)
    feature = visible(random_mask(2, (2, 3), 0.5), side=4, channels=24)
    (prediction,) = decoder([feature])
    assert prediction.shape == (2, 12, 64 // 2**level, 96 // 2**level)


def test_raw_features_are_normed_on_their_way_in():
    """The scale of the encoder's residual stream, which grows from block to block, is lost."""
    feature = visible(random_mask(2, (2, 3), 0.5), side=4, channels=24)
    louder = feature._replace(tokens=100 * feature.tokens + 3)
    decoder = build()
    torch.testing.assert_close(decoder([feature])[0], decoder([louder])[0])
    # The same as norming before: this norm has no weights yet.
    plain = build(norm_raw=False)
    plain.load_state_dict(decoder.state_dict(), strict=False)
    normed = feature._replace(tokens=torch.nn.functional.layer_norm(feature.tokens, (24,)))
    torch.testing.assert_close(decoder([feature])[0], plain([normed])[0], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(plain([feature])[0], plain([louder])[0])


@pytest.mark.parametrize('kwargs', [dict(features_normed=[True]), dict(norm_raw=False)], ids=str)
def test_no_norm_where_there_is_one_or_none_is_wanted(kwargs):
    names = set(build().state_dict()) - set(build(**kwargs).state_dict())
    assert names == {'decoders.0.input_norm.weight', 'decoders.0.input_norm.bias'}


def test_order_of_tokens_does_not_matter():
    decoder = build(strides=16)
    feature = visible(random_mask(2, (2, 3), 0.5), side=4, channels=24)
    order = torch.rand(feature.positions.shape).argsort(1)
    shuffled = VisibleTokens(
        gather_tokens(feature.tokens, order), feature.positions.gather(1, order), None
    )
    torch.testing.assert_close(decoder([feature])[0], decoder([shuffled])[0])


def test_predictions_lie_where_their_tokens_are():
    """Without attention and position embedding, a token reaches only its own coefficients."""
    decoder = build(levels=(2,), strides=16)
    level = decoder.decoders[0]
    level.blocks = torch.nn.Identity()
    level.pos_embed.zero_()
    mask = random_mask(1, (2, 3), 0.5)
    feature = visible(mask, side=4, channels=24)
    (prediction,) = decoder([feature])
    (blank,) = decoder([feature._replace(tokens=torch.zeros_like(feature.tokens))])
    changed = (prediction != blank).any(1)[0]  # (16, 24) coefficients of 4 pixels
    shown = ~mask[0].repeat_interleave(8, 0).repeat_interleave(8, 1)
    assert torch.equal(changed, shown)


def test_the_mask_token_begins_as_those_of_mae():
    decoder = build(embed_dims=512, num_heads=4)
    token = decoder.decoders[0].mask_token
    assert token.std().item() == pytest.approx(0.02, rel=0.2) and abs(token.mean()) < 0.005


def test_hidden_positions_hold_the_mask_token():
    decoder = build()
    feature = visible(random_mask(2, (2, 3), 0.5), side=4, channels=24)
    (before,) = decoder([feature])
    decoder.decoders[0].mask_token.data += 1
    assert not torch.equal(before, decoder([feature])[0])


def test_position_embedding_tells_rows_from_columns():
    level = build(strides=8).decoders[0]
    embedding = level.pos_embed.view(8, 12, 32)
    frequencies = 10000 ** (-torch.arange(8) / 8)
    parts = [f(i * frequencies) for i in (5, 11) for f in (torch.sin, torch.cos)]
    torch.testing.assert_close(embedding[5, 11], torch.cat(parts))
    assert 'decoders.0.pos_embed' not in build().state_dict()


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(levels=(2, 3)), '2 levels .* 1 features and 2 strides'),
        (dict(strides=(8, 8)), '1 levels .* 1 features and 2 strides'),
        (dict(strides=12), "stride 12 of level 2 is not a multiple of the feature's 8 pixels"),
        (dict(feature_strides=[7], strides=14), 'stride 14 and the 4 pixels of a coefficient'),
        (dict(img_size=(64, 88), strides=16), '64 x 88 are not a multiple of 16 pixels'),
    ],
)
def test_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs)
