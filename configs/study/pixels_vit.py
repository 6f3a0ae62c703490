"""The control for wavelets, small ViT on CIFAR-10: pixels in WaMIM's own frame.

python tools/train.py configs/study/pixels_vit.py --cfg-options data_root=DIR

Only the targets are others than in wamim_vit.py: blocks of 2 x 2 pixels of the image averaged over
1, 2 and 4 pixels, which hold what the coefficients of levels 1 to 3 hold, each block normalized as
MAE normalizes a patch.
"""

_base_ = './wamim_vit.py'

custom_imports = dict(imports=['wamim_mm', 'benchmarks.study.controls'])
model = dict(
    target_generator=dict(_delete_=True, type='PooledPixels', levels=(1, 2, 3), norm='token')
)
