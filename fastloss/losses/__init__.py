"""What a user calls, a file for each topic: every function with its formula in plain PyTorch right below."""
