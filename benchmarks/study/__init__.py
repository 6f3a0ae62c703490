"""The study: what WaMIM reaches on CIFAR-10 beside other methods; docs/study.md is its protocol."""

import wamim_mm  # noqa: F401  (before mm packages: it makes up for what mmcv lacks)
