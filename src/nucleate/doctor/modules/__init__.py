"""PyTorch modules before the doctor: what is measured of one, and copies that are trained. It imports no PyTorch."""
