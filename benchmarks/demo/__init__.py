"""Train a small language model with native and with fused cross-entropy: ``python -m benchmarks.demo``."""
