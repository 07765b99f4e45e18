"""What an earlier test left behind is not taken for what is held."""

import gc

import mlx.core as mx

from bench.arrays import held_bytes


class Ring:
    """Refers to itself, so that only the garbage collector lets it go."""

    def __init__(self) -> None:
        self.ring = self
        self.array = mx.zeros(2**20)
        mx.eval(self.array)


def test_what_nobody_holds_is_not_counted():
    before = held_bytes()
    gc.disable()
    try:
        Ring()
        assert mx.get_active_memory() - before >= 2**22
        assert held_bytes() == before
        assert mx.get_peak_memory() - before < 2**22
    finally:
        gc.enable()
