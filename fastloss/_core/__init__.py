"""What every engine shares: the way of a call, its options, and what is asked of PyTorch beyond its public names."""
