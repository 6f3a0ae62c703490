"""k-nearest neighbours: what features say of the classes with nothing trained."""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ['knn_accuracy']

# Similarities that are in memory at once.
CHUNK = 1000


def knn_accuracy(
    features: Tensor,
    labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    neighbours: int = 20,
    temperature: float = 0.07,
) -> float:
    """Accuracy of a vote of the nearest training samples, as DINO and its relatives count it.

    Features are standardized with the training samples' statistics and compared by their cosine
    ``s``; a neighbour's vote weighs ``exp(s / temperature)``.

    Args:
        features: ``(N, C)`` float features of the training samples.
        labels: ``(N,)`` their int64 labels.
        test_features: ``(M, C)`` features of the samples to classify.
        test_labels: ``(M,)`` their labels.
        neighbours: How many vote.
        temperature: The lower, the more the nearest decide.

    Returns:
        The share of correct samples, 0 to 1.

    Raises:
        ValueError: There are fewer training samples than neighbours.
    """
    if len(features) < neighbours:
        raise ValueError(
            f'knn_accuracy: {neighbours} neighbours of {len(features)} samples; take fewer'
        )
    std, mean = torch.std_mean(features, dim=0)
    std = std.clamp(min=1e-6)
    trained = F.normalize((features - mean) / std)
    votes = F.one_hot(labels, int(labels.max()) + 1).float()
    correct = 0
    for tested, truth in zip(
        F.normalize((test_features - mean) / std).split(CHUNK),
        test_labels.split(CHUNK),
        strict=True,
    ):
        nearest = (tested @ trained.T).topk(neighbours)  # (CHUNK, neighbours)
        weights = (nearest.values / temperature).exp()
        scores = (weights[..., None] * votes[nearest.indices]).sum(1)
        correct += int((scores.argmax(1) == truth).sum())
    return correct / len(test_labels)
