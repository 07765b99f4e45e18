"""What MLX's arrays take before something is measured."""

import gc

import mlx.core as mx


def held_bytes() -> int:
    """Return the bytes of the arrays that someone holds, and start the peak anew.

    What nobody holds any more goes first: freed later, in the middle of what is measured, it would make the peak over
    what was held too small, by all that an earlier model took.
    """
    gc.collect()
    mx.reset_peak_memory()
    return mx.get_active_memory()
