"""NumPy's arrays and scalars, read from a pickle without running NumPy's constructors.

Those are no safe guests on an allow-list: a file may call what the list holds, and
``np.ndarray((1,), 'O', b'...')`` is an array of pointers of the file's choice. What stands in for
them here takes numbers of a known type and nothing else.
"""

import math
from pickle import UnpicklingError
from typing import Any

import numpy as np

__all__ = ['allowed_arrays']

_NUMBERS = 'biuf'  # kinds of dtypes: booleans, integers, floats


class _Dtype:
    """Takes the place of ``numpy.dtype``: the type of a number.

    Args:
        code: As NumPy pickles it, for example ``'f8'``.
        align: Not used.
        copy: Not used.
    """

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if not isinstance(code, str) or np.dtype(code).kind not in _NUMBERS:
            raise UnpicklingError(f'unrecognized function <numpy.dtype({code!r})>')
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        # Version, byte order, then what only other types have, then flags, which numbers lack.
        if state[2:] != (None, None, None, -1, -1, 0) or state[1] not in ('<', '>', '=', '|'):
            raise UnpicklingError(f'unrecognized function <numpy.dtype with state {state!r}>')
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array that is being read. It is made by `_reconstruct` alone, and saved as a plain one."""

    def __new__(cls, *args: Any, **kwargs: Any) -> '_Array':
        raise UnpicklingError('unrecognized function <numpy.ndarray>')

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        if (
            type(dtype) is not _Dtype
            or type(data) is not bytes
            or not all(type(side) is int and side >= 0 for side in shape)
            or len(data) != math.prod(shape) * dtype.dtype.itemsize
        ):
            raise UnpicklingError('unrecognized function <numpy.ndarray with a foreign state>')
        checked: Any = (1, tuple(shape), dtype.dtype, bool(is_fortran), data)
        super().__setstate__(checked)

    def __reduce__(self) -> Any:
        return self.view(np.ndarray).__reduce__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.view(np.ndarray).__reduce_ex__(protocol)


def _ndarray(*args: Any, **kwargs: Any) -> None:
    """An argument of ``_reconstruct``, in honest pickles; not to be called."""
    raise UnpicklingError('unrecognized function <numpy.ndarray>')


def _reconstruct(*_: Any) -> _Array:
    """NumPy's function of that name: an empty array, whose state follows."""
    return np.ndarray.__new__(_Array, (0,), np.int8)


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    """NumPy's ``scalar``."""
    if type(dtype) is not _Dtype or type(data) is not bytes:
        raise UnpicklingError('unrecognized function <numpy scalar of a foreign type>')
    if len(data) != dtype.dtype.itemsize:
        raise UnpicklingError('unrecognized function <numpy scalar of a foreign size>')
    return np.frombuffer(data, dtype.dtype)[0]


def allowed_arrays() -> list[tuple[Any, str]]:
    """What stands in for NumPy's, each with the name that it has in a pickle."""
    allowed: list[tuple[Any, str]] = [
        (_Dtype, 'numpy.dtype'),
        (_ndarray, 'numpy.ndarray'),
        (_Array, f'{__name__}._Array'),  # else torch would not let its state be set
    ]
    # numpy 2 renamed the module: a file of one numpy loads with the other.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed += [(_reconstruct, f'{module}._reconstruct'), (_scalar, f'{module}.scalar')]
    return allowed
