"""How MMEngine's FlexibleRunner spreads a model over processes."""

from .fsdp2 import FSDP2Strategy

__all__ = ['FSDP2Strategy']
