"""One mask for all samples of a batch, as GreenMIM has it.

python -m benchmarks.study --part ablations --data DIR

The study's loader alone draws such masks.
"""

_base_ = '../../study/wamim_swin.py'

masks = dict(per='batch')
