"""The training engine beside `mlx_lm.lora`: the same model, examples and settings, one fresh process a measurement.

`cases` says what is measured, `material` makes what both sides are given, `ours` and `peer` are the two sides,
each a program of its own that fills a `gauge`, and `table` makes the medians.
"""
