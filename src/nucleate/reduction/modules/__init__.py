"""Reductions of PyTorch modules: fewer neurons, channels and heads that do the same work. It imports no PyTorch."""
