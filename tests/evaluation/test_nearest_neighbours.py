"""The vote beside one that is counted sample by sample."""

import numpy as np
import pytest
import torch

from wamim_mm.evaluation.nearest_neighbours import knn_accuracy


def brute_force(features, labels, tested, truth, neighbours, temperature):
    mean, std = features.mean(0), features.std(0, ddof=1)
    features, tested = (features - mean) / std, (tested - mean) / std
    correct = 0
    for sample, expected in zip(tested, truth, strict=True):
        cosine = features @ sample / np.linalg.norm(features, axis=1) / np.linalg.norm(sample)
        votes = np.zeros(labels.max() + 1)
        for index in np.argsort(-cosine)[:neighbours]:
            votes[labels[index]] += np.exp(cosine[index] / temperature)
        correct += votes.argmax() == expected
    return correct / len(truth)


@pytest.mark.parametrize('neighbours', [1, 5, 20])
def test_vote(neighbours):
    rng = np.random.default_rng(0)
    labels, truth = rng.integers(4, size=200), rng.integers(4, size=1100)  # more than a chunk
    centres = rng.normal(size=(4, 8))
    features = centres[labels] + 1.5 * rng.normal(size=(200, 8))
    tested = centres[truth] + 1.5 * rng.normal(size=(1100, 8))
    found = knn_accuracy(*map(torch.from_numpy, (features, labels, tested, truth)), neighbours)
    expected = brute_force(features, labels, tested, truth, neighbours, 0.07)
    assert found == expected and 0.5 < found < 1


def test_constant_features_are_no_error():
    features, labels = torch.ones(30, 3), torch.arange(30) % 3
    assert knn_accuracy(features, labels, features, labels) >= 0


def test_too_few_samples():
    with pytest.raises(ValueError, match='20 neighbours of 5 samples'):
        knn_accuracy(torch.ones(5, 2), torch.ones(5).long(), torch.ones(1, 2), torch.ones(1).long())
