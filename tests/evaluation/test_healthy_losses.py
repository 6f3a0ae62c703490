"""The bands of healthy losses: what they say between their points, and beyond them."""

import pytest

from wamim_mm.evaluation import healthy_losses
from wamim_mm.evaluation.healthy_losses import Band, healthy_band


def test_between_points():
    band = Band((100, 1000, 10000), (0.9, 0.8, 0.6), (1.1, 1.0, 0.8))
    assert band.at(100) == (0.9, 1.1) and band.at(10000) == (0.6, 0.8)
    assert band.at(10**2.5) == pytest.approx((0.85, 1.05))
    assert band.at(10**3.5) == pytest.approx((0.7, 0.9))
    assert band.at(99) is None and band.at(10001) is None
    assert Band((), (), ()).at(5) is None


def test_levels_are_matched_by_the_mask_unit():
    """ViT: a level for each patch is level 4 of patches of 16, and level 2 of the study's."""
    for level in (1, 2, 3):
        band = healthy_band('vit', level, mask_unit=4)
        assert band == healthy_band('vit', level + 2, mask_unit=16)
        assert len(band.images) > 5 and all(
            0 < low <= high for low, high in zip(*band[1:], strict=True)
        )
        assert band.images == tuple(sorted(set(band.images)))
        # A prediction of nothing is where runs start, and below it is where they end.
        assert band.high[0] > 0.95 and band.low[-1] < 0.95
    assert healthy_band('vit', 6, mask_unit=4) is None


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('resnet', 2, 4), "one of .*vit.*, got 'resnet'"),
        (('vit', 2, 12), 'power of two, got 12'),
        (('vit', 2, 4, 'token'), "norm must be one of .*subband.*, got 'token'"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        healthy_band(*arguments)


def test_the_file_is_where_the_module_is():
    assert healthy_losses.BANDS.is_file()
