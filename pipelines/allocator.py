"""The C library's allocator, told to keep what a step of a model gives back.

An engine asks for the same hundreds of megabytes in every step. By default glibc returns blocks as
large as these to the kernel, which has to clear every page of them again the next time.
"""

import ctypes

# Parameters of mallopt(3), from glibc's <malloc.h>.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
# As much as its argument can say, in bytes.
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Makes this process keep freed memory for its next use, up to 2 GiB at a time.

    Returns:
        whether the C library can do so; glibc alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # One arena: what a thread gives back is for all of them. No block of its own from the kernel.
    settings = {_ARENA_MAX: 1, _MMAP_MAX: 0, _TRIM_THRESHOLD: _MOST}
    taken = [mallopt(name, value) == 1 for name, value in settings.items()]
    return all(taken)
