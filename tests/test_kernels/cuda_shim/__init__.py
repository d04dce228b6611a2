"""The CUDA bodies without a GPU: their sources compiled by NVRTC, and run on the CPU by g++."""
