"""WaMIM: Wavelet-Driven Masked Image Modeling (AAAI 2025, arXiv 2503.00782)."""

import logging
from collections.abc import Sequence

import torch
from mmengine.logging import print_log
from mmpretrain.models import BaseSelfSupervisor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ...ops.masking import Masking, num_visible_units, random_mask, sample_masks, to_device
from .decoder import WaMIMDecoder
from .head import WaMIMHead
from .masked_encoder import MaskedEncoder
from .targets import WaveletTargetGenerator


@MODELS.register_module()
class WaMIM(BaseSelfSupervisor):
    """Predict wavelet coefficients of hidden patches, fine levels from shallow layers.

    Args:
        backbone: A masked encoder, `WaMIMViT` or `WaMIMSwinTransformer`; the entries of its
            ``out_indices`` are paired with the target levels, shallowest with finest.
        neck: `WaMIMDecoder`. The arguments that follow from the encoder and the targets are filled
            in.
        head: `WaMIMHead`. Its levels are filled in from the target generator.
        target_generator: `WaveletTargetGenerator`.
        mask_ratio: Share of mask units that are hidden.
        data_preprocessor: As in mmpretrain's self-supervised algorithms.
        init_cfg: Initialization config.

    Raises:
        ValueError: The image size, patch size, levels, features, strides or mask ratio do not fit
            together; the message says which, with the numbers.
    """

    backbone: MaskedEncoder
    neck: WaMIMDecoder
    head: WaMIMHead
    target_generator: WaveletTargetGenerator
    #: What `CompileHook` compiles: encoder and decoders, without the geometry on the CPU.
    compile_targets = ('backbone.encode_visible', 'neck.forward')

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        target_generator: dict,
        mask_ratio: float = 0.75,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        try:
            encoder = MODELS.build(backbone)
        except AssertionError as error:  # mmpretrain's
            if 'out_indices' not in str(error):
                raise
            raise ValueError(
                f'WaMIM: backbone.out_indices {list(backbone["out_indices"])}: {error}; they count '
                'blocks (ViT) or stages (Swin) from 0'
            ) from None
        targets = MODELS.build(target_generator)
        grid = encoder.mask_grid(*encoder.img_size)
        num_visible_units(grid, mask_ratio)
        targets.check_training_size(*encoder.img_size)
        places, last = list(encoder.out_indices), encoder.depth - 1
        if places != sorted(places):
            raise ValueError(
                f'WaMIM: out_indices must ascend, got {tuple(places)}: the shallowest feature '
                'predicts the finest level'
            )
        deepest = max(places, default=last)
        if deepest > last:  # mmpretrain takes one more, and gives no feature for it
            raise ValueError(
                f'WaMIM: out_indices must be of blocks (ViT) or stages (Swin), 0 to {last}, got '
                f'{tuple(places)}'
            )
        if deepest < last:
            print_log(
                f'WaMIM: out_indices {tuple(places)} end before {last}, the last: no loss trains '
                'what comes behind; end in it, or set the depth of the backbone',
                'current',
                level=logging.WARNING,
            )
        in_channels = encoder.patch_embed.projection.in_channels
        # Decoders count in the pixels of the transformed images.
        size = targets.transformed_size(*encoder.img_size)
        unit = size[0] // grid[0]
        if size != (unit * grid[0], unit * grid[1]) or any(
            unit * stride % encoder.mask_unit for stride in encoder.feature_strides
        ):
            raise ValueError(
                f'WaMIM: targets of images of {size[0]} x {size[1]} do not fit the '
                f'{grid[0]} x {grid[1]} mask units; set target_generator.img_size to a multiple of '
                'these, the same on both sides'
            )
        decoder = MODELS.build(
            dict(
                neck,
                in_channels=encoder.feature_channels,
                feature_strides=[
                    unit * stride // encoder.mask_unit for stride in encoder.feature_strides
                ],
                features_normed=encoder.features_normed,
                levels=targets.levels,
                out_channels=in_channels * len(targets.subbands),
                img_size=size,
            )
        )
        for stride in decoder.strides:
            if unit % stride:
                raise ValueError(
                    f'WaMIM: a decoder stride of {stride} does not divide the mask unit of '
                    f'{unit} pixels, so that its tokens would be partly hidden'
                )
        super().__init__(
            backbone=encoder,
            neck=decoder,
            head=dict(head, levels=targets.levels),
            target_generator=targets,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.mask_ratio = mask_ratio
        self.img_size = encoder.img_size

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[DataSample] | None = None,
        mode: str = 'tensor',
        masking: Masking | None = None,
    ):
        """What mmpretrain calls; ``masking`` comes from the loader's workers, see :meth:`loss`."""
        if mode == 'loss':
            return self.loss(inputs, data_samples, masking)
        return super().forward(inputs, data_samples, mode)

    def loss(
        self,
        inputs: Tensor,
        data_samples: list[DataSample] | None = None,
        masking: Masking | None = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            inputs: ``(N, C, H, W)`` normalized images.
            data_samples: They may hold the masks: in a field ``mask``, ``(H / unit, W / unit)``
                bool, True where hidden, or as a number ``draw``, from which the mask follows. If
                they hold neither, masks are drawn at random.
            masking: Masks and layout of the batch, on the device of the images. If given, they are
                used in place of those of the samples.

        Returns:
            ``loss_level<l>`` for each level, weighted.
        """
        self.check_size(inputs)
        mask, layout = masking or self.masking(inputs, data_samples)
        self.backbone.check_mask(inputs, mask)
        predictions = self.neck(self.backbone.encode_visible(inputs, layout))
        targets = self.target_generator(inputs)
        return self.head.loss(predictions, targets, mask)

    @torch.no_grad()
    def reconstruct(self, inputs: Tensor, data_samples: list[DataSample] | None = None) -> Tensor:
        """Turn the predicted coefficients into images, by the inverse wavelet transform.

        Args:
            inputs: ``(N, C, H, W)`` normalized images.
            data_samples: As in :meth:`loss`.

        Returns:
            ``(N, C, H, W)`` in the range of the inputs. Visible parts are predictions too.
        """
        self.check_size(inputs)
        _, layout = self.masking(inputs, data_samples)
        predictions = self.neck(self.backbone.encode_visible(inputs, layout))
        return self.target_generator.to_images(predictions, inputs)

    def masking(self, inputs: Tensor, data_samples: Sequence[DataSample] | None = None) -> Masking:
        """Masks and layout, for batches without those of a worker; see :meth:`masks`."""
        mask = self.masks(inputs, data_samples)
        return Masking(to_device(mask, inputs.device), self.backbone.lay_out(inputs, mask))

    def masks(self, inputs: Tensor, data_samples: Sequence[DataSample] | None = None) -> Tensor:
        """``(N, H / unit, W / unit)`` masks on the CPU: the samples' own, or drawn at random.

        Raises:
            ValueError: Some samples carry a mask and some do not.
        """
        grid = self.backbone.mask_grid(*inputs.shape[-2:])
        given = sample_masks(data_samples or (), grid, self.mask_ratio)
        if given is None:
            return random_mask(len(inputs), grid, self.mask_ratio)
        if len(given) != len(inputs):
            raise ValueError(
                f'WaMIM: {len(given)} masks for {len(inputs)} images; give all or none'
            )
        return given

    def check_size(self, inputs: Tensor) -> None:
        """Raise ValueError unless the images are of the size that the model was built for."""
        if tuple(inputs.shape[-2:]) != self.img_size:
            raise ValueError(
                f'WaMIM: built for images of {self.img_size}, got '
                f"{tuple(inputs.shape[-2:])}; set the backbone's img_size or the pipeline's crop"
            )
