"""Corruption errors and class subsets against published numbers and plain NumPy."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import METRICS

from wamim_mm.evaluation.robustness import folder_classes, mean_corruption_error, mean_error
from wamim_mm.imagenet_c import ALEXNET_ERRORS

#: AlexNet's errors at severities 1 to 5, as timm's bits_and_tpu branch lists them.
ALEXNET = {
    'gaussian_noise': (0.69528, 0.82542, 0.93554, 0.98138, 0.99452),
    'shot_noise': (0.71224, 0.85108, 0.93574, 0.98182, 0.99146),
    'impulse_noise': (0.78374, 0.89808, 0.9487, 0.9872, 0.99548),
    'defocus_blur': (0.65624, 0.73202, 0.85036, 0.91364, 0.94714),
    'glass_blur': (0.64308, 0.75054, 0.88806, 0.91622, 0.93344),
    'motion_blur': (0.5843, 0.70048, 0.82108, 0.8975, 0.92638),
    'zoom_blur': (0.70008, 0.76992, 0.80784, 0.84198, 0.87198),
    'snow': (0.71726, 0.88392, 0.86468, 0.9187, 0.94952),
    'frost': (0.6139, 0.79734, 0.8879, 0.89942, 0.9343),
    'fog': (0.67474, 0.7605, 0.84378, 0.8726, 0.945),
    'brightness': (0.4514, 0.48502, 0.54048, 0.62166, 0.72440),
    'contrast': (0.64548, 0.7615, 0.88874, 0.9776, 0.9927),
    'elastic_transform': (0.52596, 0.70116, 0.55686, 0.64076, 0.80554),
    'pixelate': (0.52218, 0.5462, 0.73728, 0.87092, 0.91262),
    'jpeg_compression': (0.51002, 0.54718, 0.57294, 0.65458, 0.74778),
}


def top1(errors):
    return {
        name: {severity: 100 * (1 - error) for severity, error in enumerate(values, 1)}
        for name, values in errors.items()
    }


def test_alexnet_itself():
    assert ALEXNET_ERRORS.keys() == ALEXNET.keys()
    assert mean_corruption_error(top1(ALEXNET)) == pytest.approx(100, abs=1e-9)
    for name, errors in ALEXNET.items():
        assert ALEXNET_ERRORS[name] == pytest.approx(100 * sum(errors) / 5, abs=1e-9)


def test_mean_corruption_error_by_hand():
    # As AlexNet in all but two: half its error in one, none in another. (13 + 0.5) / 15.
    half = top1(ALEXNET)
    half['fog'] = {severity: 50 + value / 2 for severity, value in half['fog'].items()}
    half['snow'] = dict.fromkeys(half['snow'], 100.0)
    assert mean_corruption_error(half) == pytest.approx(90, abs=1e-9)
    always_wrong = {name: dict.fromkeys(range(1, 6), 0.0) for name in ALEXNET}
    expected = np.mean([100 / (sum(errors) / 5) for errors in ALEXNET.values()])
    assert mean_corruption_error(always_wrong) == pytest.approx(expected)


def test_mean_corruption_error_is_over_everything():
    few = top1(ALEXNET)
    del few['fog']
    with pytest.raises(ValueError, match=r"differ in \['fog'\]"):
        mean_corruption_error(few)
    with pytest.raises(ValueError, match=r"differ in .*'speckle_noise'"):
        mean_corruption_error(few | {'speckle_noise': few['snow']})
    few = top1(ALEXNET)
    del few['snow'][4]
    with pytest.raises(ValueError, match=r'severities 1 to 5, snow has \[1, 2, 3, 5\]'):
        mean_corruption_error(few)


def test_mean_error_by_hand():
    assert mean_error({'fog': {1: 90.0, 3: 70.0}, 'snow': {1: 50.0, 3: 10.0}}) == 45.0


def test_subset_accuracy():
    generator = np.random.default_rng(0)
    scores = generator.random((50, 1000)).astype(np.float32)
    labels = generator.integers(0, 200, 50)
    classes = np.sort(generator.permutation(1000)[:200])
    scores[np.arange(25), classes[labels[:25]]] += 0.999  # half of them beyond most others
    rows = [scores[i][classes] for i in range(50)]
    expected = 100 * np.mean(
        [row.argmax() == label for row, label in zip(rows, labels, strict=True)]
    )
    assert 40 < expected < 100
    samples = [
        dict(pred_score=torch.from_numpy(s), gt_label=torch.tensor([label]))
        for s, label in zip(scores, labels, strict=True)
    ]
    metric = METRICS.build(dict(type='SubsetAccuracy', classes=classes.tolist()))
    metric.process(None, samples[:30])
    metric.process(None, samples[30:])
    assert metric.evaluate(50) == {'accuracy/top1': pytest.approx(expected)}
    assert len(samples[0]['pred_score']) == 1000  # other metrics read them too


def test_folder_classes(tmp_path):
    pytest.importorskip('timm', reason='needs timm, of the test extra')
    # tench, goldfish, and the last class, toilet tissue; in any order on the disk
    for name in ('n15075141', 'n01443537', 'n01440764'):
        (tmp_path / name).mkdir()
    (tmp_path / 'README.txt').touch()  # ImageNet-A comes with one
    assert folder_classes(tmp_path, 3) == [0, 1, 999]
    with pytest.raises(ValueError, match='has 3 class folders, and the benchmark 200 classes'):
        folder_classes(tmp_path, 200)
    (tmp_path / 'cats').mkdir()
    with pytest.raises(ValueError, match=r"1 folders are not named after .*: 'cats'"):
        folder_classes(tmp_path, 4)
    with pytest.raises(FileNotFoundError, match='does not exist'):
        folder_classes(tmp_path / 'dogs', 200)


def test_order_of_the_real_folders(shared_data):
    pytest.importorskip('timm', reason='needs timm, of the test extra')
    indices = folder_classes(shared_data / 'imagenet_samples', 200)
    assert len(set(indices)) == 200 and indices == sorted(indices)
