"""Linear probe: how well a linear classifier reads the classes off a frozen encoder's features."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ['extract_features', 'linear_probe']


@torch.no_grad()
def extract_features(model: torch.nn.Module, batches: Iterable[dict]) -> tuple[Tensor, Tensor]:
    """Means over the positions of the encoder's feature maps, one after another.

    All of ``out_indices`` are used, not the last alone: WaMIM trains each of them, and dense tasks
    read each of them.

    Args:
        model: A self-supervised model of mmpretrain; its backbone yields feature maps.
        batches: What a data loader with labels yields.

    Returns:
        ``(N, C)`` float features, ``C`` summed over the feature maps, and ``(N,)`` int64 labels, on
        the CPU.
    """
    model.eval()
    features, labels = [], []
    for batch in batches:
        data = model.data_preprocessor(batch)
        feature_maps = model.extract_feat(data['inputs'])  # each (N, C_i, h_i, w_i)
        features.append(torch.cat([part.mean((2, 3)) for part in feature_maps], dim=1).cpu())
        labels.append(torch.cat([sample.gt_label.cpu() for sample in data['data_samples']]))
    return torch.cat(features), torch.cat(labels)


def linear_probe(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1),
) -> float:
    """Accuracy of multinomial logistic regression on standardized features.

    The weight of its L2 penalty is chosen on every fifth training sample, so that the test samples
    have no say in it; then the regression is fitted to all training samples.

    Args:
        train: ``(N, C)`` features and ``(N,)`` labels.
        test: The same for the test samples.
        penalties: Weights to choose from.

    Returns:
        The share of test samples classified rightly, 0 to 1.
    """
    (x, y), (x_test, y_test) = train, test
    std, mean = torch.std_mean(x, dim=0)
    x, x_test = ((part - mean) / std.clamp(min=1e-6) for part in (x, x_test))
    held_out = torch.arange(len(x)) % 5 == 0

    def accuracy(fit: Tensor, x_eval: Tensor, y_eval: Tensor, penalty: float) -> float:
        weight, bias = _logistic_regression(x[fit], y[fit], penalty)
        return ((x_eval @ weight + bias).argmax(1) == y_eval).float().mean().item()

    best = max(penalties, key=lambda p: accuracy(~held_out, x[held_out], y[held_out], p))
    return accuracy(torch.ones_like(held_out), x_test, y_test, best)


def _logistic_regression(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Minimize the mean cross entropy plus ``penalty / 2`` times the squared weights."""
    weight = torch.zeros(x.shape[1], int(y.max()) + 1, requires_grad=True)
    bias = torch.zeros(weight.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn='strong_wolfe')

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight + bias, y) + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), bias.detach()
