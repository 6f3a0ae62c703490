"""MLflow 3 takes no plain files as its store, and no picture without a step or an ending.

MMEngine's backend gives it both, which ends the run at its start. It also passes over MLflow's own
way to name a server, the variable MLFLOW_TRACKING_URI.
"""

import functools
import os
from typing import Any


def install() -> None:
    """Let MLflowVisBackend start and draw; calling it again is harmless."""
    from mmengine.visualization.vis_backend import MLflowVisBackend, force_init_env

    start = MLflowVisBackend._init_env
    if hasattr(start, '__wrapped__'):
        return

    @functools.wraps(start)
    def start_with_a_store(backend: Any) -> None:
        if backend._tracking_uri is None:
            backend._tracking_uri = os.environ.get('MLFLOW_TRACKING_URI')
        if backend._tracking_uri is None:
            folder = os.path.abspath(backend._save_dir)
            backend._tracking_uri = f'sqlite:///{folder}/mlflow.db'
            # The experiment that a database comes with keeps its files in the current folder.
            backend._exp_name = backend._exp_name or 'wamim_mm'
            backend._artifact_location = backend._artifact_location or f'file://{folder}/mlflow'
        start(backend)

    def add_image(backend: Any, name: str, image: Any, step: int = 0, **_: Any) -> None:
        backend._mlflow.log_image(image, key=name, step=step)

    MLflowVisBackend._init_env = start_with_a_store
    MLflowVisBackend.add_image = force_init_env(add_image)
