"""Benchmarks: ``python -m benchmarks.harness``; benchmarks/README.md explains the protocol and the columns.

Data lives in `suites` (one row per shape) and `losses` (one entry per loss); everything else is generic. A
row goes through `measure`, which asks `variants` what competes and `timing`, `accuracy` and `memory` for the
numbers, and fills the records of `results`; `table`, `plot` and `page` show them.
"""
