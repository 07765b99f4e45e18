"""Benchmarks: printed tables, never timed tests."""
