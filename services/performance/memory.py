"""Gives memory back that the allocator would keep: there is a store for what is to be kept."""

from __future__ import annotations

import ctypes
from typing import Final

_ARENA_MAX: Final = -8
_MMAP_THRESHOLD: Final = -3
_TRIM_THRESHOLD: Final = -1
_LARGE: Final = 1 << 18


def give_memory_back() -> bool:
    """Set glibc's allocator to one arena and fixed thresholds; False where it is another one.

    By itself it takes an arena for every thread, and once an array of some megabytes has been freed, arrays
    of that size lie among the small objects, where the holes that they leave are given back to nobody.
    Call it before there are threads.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    set_to = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, 4 * _LARGE))
    return all(mallopt(parameter, value) == 1 for parameter, value in set_to)
