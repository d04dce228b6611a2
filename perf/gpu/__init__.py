"""`perf gpu`: what the CUDA kernels do on a GPU, against what that GPU can do.

Needs CuPy and a CUDA GPU; without one nothing is measured and nothing is written.
"""
