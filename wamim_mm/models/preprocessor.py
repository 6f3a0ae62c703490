"""From a loader's batch to a model's input."""

from collections.abc import Sequence

import torch
from mmpretrain.models import SelfSupDataPreprocessor
from mmpretrain.registry import MODELS
from torch import Tensor

from ..ops.masking import unpack_masking


@MODELS.register_module()
class PretrainDataPreprocessor(SelfSupDataPreprocessor):
    """mmpretrain's preprocessor for any number of channels, with the masks of the loader's workers.

    Args:
        mean: One value for each channel of the images, or one for all; None to normalize nothing.
        std: Likewise.
        *args: Those of `SelfSupDataPreprocessor`.
        non_blocking: True by default, because the loader pins what goes to an accelerator.
        **kwargs: Those of `SelfSupDataPreprocessor`.

    Raises:
        ValueError: Numbers of means and deviations differ; or the images have another number of
            channels, or are to change the order of their colours and have not three.
    """

    def __init__(
        self,
        mean: Sequence[float] | float | None = None,
        std: Sequence[float] | float | None = None,
        *args,
        non_blocking: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(None, None, *args, non_blocking=non_blocking, **kwargs)
        if mean is None and std is None:
            return
        # Not given to the host, which takes one value or three.
        self._enable_normalize = True
        for name, values in (('mean', mean), ('std', std)):
            tensor = torch.tensor([] if values is None else values, dtype=torch.float32)
            self.register_buffer(name, tensor.view(-1, 1, 1), persistent=False)
        if len(self.mean) != len(self.std):
            raise ValueError(
                f'PretrainDataPreprocessor: mean has {len(self.mean)} values and std '
                f'{len(self.std)}; give one of each for each channel'
            )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move a batch to the model's device and normalize its images.

        Args:
            data: ``inputs``, ``(N, C, H, W)`` uint8 or float32; ``data_samples``; and, if the
                workers made it, ``masking``, see `PackedMasking`.
            training: Not used.

        Returns:
            The same keys; ``inputs`` are float, ``masking`` is a `Masking`.
        """
        data = dict(data)
        masking = data.pop('masking', None)
        if isinstance(data['inputs'], Tensor):
            self._check_channels(data['inputs'].shape[1])
            batch = self._normalized(self.cast_data(data))
        else:  # several views
            batch = super().forward(data, training)
        if masking is None:
            return batch
        return dict(batch, masking=unpack_masking(self.cast_data(masking)))

    def _normalized(self, batch: dict) -> dict:
        """The host's own steps; its list of channel numbers would let every step wait for a GPU."""
        inputs = batch['inputs']
        inputs = (inputs.flip(1) if self._channel_conversion else inputs).float()
        if self._enable_normalize:
            inputs = (inputs - self.mean) / self.std
        return dict(batch, inputs=inputs)

    def _check_channels(self, channels: int) -> None:
        if self._enable_normalize and len(self.mean) not in (1, channels):
            raise ValueError(
                f'PretrainDataPreprocessor: {len(self.mean)} means for images of {channels} '
                'channels; set mean and std, or color_type of the pipeline'
            )
        if self._channel_conversion and channels != 3:
            raise ValueError(
                f'PretrainDataPreprocessor: to_rgb=True for images of {channels} channels; set '
                'to_rgb=False'
            )
