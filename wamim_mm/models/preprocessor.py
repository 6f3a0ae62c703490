"""From a loader's batch to a model's input."""

from mmpretrain.models import SelfSupDataPreprocessor
from mmpretrain.registry import MODELS


@MODELS.register_module()
class PretrainDataPreprocessor(SelfSupDataPreprocessor):
    """mmpretrain's preprocessor, with the masks that the loader's workers have made.

    Args:
        *args: Those of `SelfSupDataPreprocessor`.
        non_blocking: True by default, because the loader pins what goes to an accelerator.
        **kwargs: Those of `SelfSupDataPreprocessor`.
    """

    def __init__(self, *args, non_blocking: bool = True, **kwargs) -> None:
        super().__init__(*args, non_blocking=non_blocking, **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move a batch to the model's device and normalize its images.

        Args:
            data: ``inputs``, ``(N, C, H, W)`` uint8; ``data_samples``; and, if the workers made it,
                ``masking``, see `Masking`.
            training: Not used.

        Returns:
            The same keys; ``inputs`` are float.
        """
        data = dict(data)
        masking = data.pop('masking', None)
        batch = super().forward(data, training)
        return batch if masking is None else dict(batch, masking=self.cast_data(masking))
