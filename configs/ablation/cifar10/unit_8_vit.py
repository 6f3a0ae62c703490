"""Mask unit: blocks of 2 x 2 patches.

python -m benchmarks.study --part ablations --data DIR

The study's loader alone draws such masks.
"""

_base_ = '../../study/wamim_vit.py'

masks = dict(block=2)
