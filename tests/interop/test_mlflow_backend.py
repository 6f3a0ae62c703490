"""MLflow's backend, with a stand-in for MLflow 3 that refuses what that refuses."""

import sys
from types import ModuleType

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.visualization.vis_backend import MLflowVisBackend


@pytest.fixture
def mlflow(monkeypatch):
    """What MLflow 3 was told."""
    fake = ModuleType('mlflow')
    fake.MlflowException = type('MlflowException', (Exception,), {})
    fake.told = {}

    def set_tracking_uri(uri):
        if uri.startswith('file:'):
            raise fake.MlflowException('the filesystem tracking backend is in maintenance mode')
        fake.told['uri'] = uri

    def create_experiment(name, artifact_location=None):
        fake.told['experiment'] = name, artifact_location

    def log_image(image, artifact_file=None, key=None, step=None):
        if artifact_file is not None and '.' not in artifact_file:
            raise ValueError('unknown file extension: ')
        fake.told.setdefault('pictures', []).append((key, step, image.shape))

    fake.set_tracking_uri, fake.log_image = set_tracking_uri, log_image
    fake.create_experiment = create_experiment
    fake.get_experiment_by_name = fake.set_experiment = lambda name: None
    fake.log_params = fake.log_text = lambda *args: None
    monkeypatch.setitem(sys.modules, 'mlflow', fake)
    monkeypatch.delenv('MLFLOW_TRACKING_URI', raising=False)
    return fake


def test_everything_lies_beside_the_log(mlflow, tmp_path):
    backend = MLflowVisBackend(save_dir=str(tmp_path))
    backend.add_config(Config({}))
    for step in (0, 100):
        backend.add_image('reconstruction', np.zeros((4, 8, 3), np.uint8), step=step)
    assert mlflow.told == dict(
        uri=f'sqlite:///{tmp_path}/mlflow.db',
        experiment=('wamim_mm', f'file://{tmp_path}/mlflow'),
        pictures=[('reconstruction', 0, (4, 8, 3)), ('reconstruction', 100, (4, 8, 3))],
    )


def test_a_server_by_mlflows_variable(mlflow, tmp_path, monkeypatch):
    monkeypatch.setenv('MLFLOW_TRACKING_URI', 'https://mlflow.example.org')
    MLflowVisBackend(save_dir=str(tmp_path)).add_config(Config({}))
    assert mlflow.told == dict(uri='https://mlflow.example.org', experiment=('Default', None))


def test_what_the_config_says_stays(mlflow, tmp_path, monkeypatch):
    monkeypatch.setenv('MLFLOW_TRACKING_URI', 'https://mlflow.example.org')
    mine = dict(tracking_uri='https://other.example.org', exp_name='mine')
    MLflowVisBackend(save_dir=str(tmp_path), **mine).add_config(Config({}))
    assert mlflow.told == dict(uri='https://other.example.org', experiment=('mine', None))
