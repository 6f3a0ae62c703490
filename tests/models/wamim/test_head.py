"""WaMIMHead against loops over positions."""

import pytest
import torch

from wamim_mm import WaMIMHead


def by_hand(prediction, target, mask, weight):
    """Sum over positions of masked fraction times mean squared error, in float64."""
    n, _, height, width = target.shape
    rows, columns = mask.shape[1:]
    total = weights = 0.0
    # On a grid that both the units and the coefficients divide.
    fine = 12
    for i in range(n):
        dense = mask[i].double().repeat_interleave(fine // rows, 0)
        dense = dense.repeat_interleave(fine // columns, 1)
        for y in range(height):
            for x in range(width):
                step = (fine // height, fine // width)
                block = dense[y * step[0] : (y + 1) * step[0], x * step[1] : (x + 1) * step[1]]
                share = block.mean().item()
                error = (prediction[i, :, y, x].double() - target[i, :, y, x].double()) ** 2
                total += share * error.mean().item()
                weights += share
    return weight * total / weights


@pytest.mark.parametrize('size', [12, 6, 4, 3, 2, 1])
def test_masked_fraction(size):
    """Positions finer than a mask unit, as fine, and coarser."""
    head = WaMIMHead(loss_weights=(0.7,), levels=(3,))
    mask = torch.rand(2, 4, 4) < 0.6
    prediction, target = torch.randn(2, 2, 5, size, size).unbind()
    if size == 3:
        mask = torch.rand(2, 6, 6) < 0.6
    losses = head.loss([prediction], [target], mask)
    assert list(losses) == ['loss_level3']
    expected = by_hand(prediction, target, mask, 0.7)
    assert losses['loss_level3'].item() == pytest.approx(expected, rel=1e-5)


def test_visible_positions_do_not_count():
    head = WaMIMHead(loss_weights=(1.0,), levels=(1,))
    mask = torch.tensor([[[True, False], [False, False]]])
    prediction = torch.zeros(1, 3, 4, 4, requires_grad=True)
    head.loss([prediction], [torch.ones(1, 3, 4, 4)], mask)['loss_level1'].backward()
    counted = prediction.grad.abs().sum(1)[0] > 0
    assert torch.equal(counted, mask[0].repeat_interleave(2, 0).repeat_interleave(2, 1))


def test_half_precision_predictions():
    head = WaMIMHead(loss_weights=(1.0,), levels=(1,))
    target = torch.zeros(1, 1, 1, 1)
    prediction = torch.full((1, 1, 1, 1), 400.0, dtype=torch.float16)  # its square overflows
    loss = head.loss([prediction], [target], torch.ones(1, 1, 1, dtype=torch.bool))
    assert loss['loss_level1'].item() == 160000


def test_refuses():
    for weights in ((0, 0), (1, -1), (float('nan'), 1), (1, float('inf'))):
        with pytest.raises(ValueError, match='must be 0 or more, and one positive'):
            WaMIMHead(loss_weights=weights, levels=(3, 4))
    assert WaMIMHead(loss_weights=(0, 2), levels=(3, 4)).counted == {4: 2}
    with pytest.raises(ValueError, match='2 loss_weights for 1 levels'):
        WaMIMHead(loss_weights=(1, 2), levels=(3,))
