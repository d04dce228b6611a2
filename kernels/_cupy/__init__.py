"""The bodies for GPUs, in CUDA C++ behind CuPy.

How a body is written here. It is two files of the operation's name:

`<name>.cu` holds the kernels, `extern "C" __global__ void ...`. `prelude.cuh` is put before it: the
number types by NumPy's names (`int16`, `float64`) and what several kernels share (`limit`,
`map_pixels`, `sum_before`, `sum_of_block`, `Voi`). No include, no inline PTX, no dynamic shared
memory, blocks along x only: the same source is compiled by NVRTC, and by g++ for the tests, which
knows barriers, `__syncwarp`, the four `__shfl_*_sync` and the atomic functions (integers only:
sums of floats in no fixed order would differ from run to run). A source is written for one number
type, VALUE, and compiled for each of `device.NATIVE` when it is first needed. A line may hold one
barrier or shuffle. Inputs are `const`.

`<name>.py` holds the body, of the name and the signature that it has in `kernels._reference`. It
takes what it needs from `kernels._cupy.device` alone (`native`, `empty`, `zeros`, `constant`,
`launch`), never from CuPy:

    values = native(frame)
    out = empty(values.shape, np.float32)
    arguments = (values, out, np.int64(values.size), np.float64(slope))
    launch("modality.rescale", (blocks(values.size),), arguments, VALUE=values.dtype)

Every argument has exactly the type that the kernel declares; CUDA does not check it, the tests do.
Launches go to the current stream, in order. Nothing waits for the device, but lines marked
`# synchronize`. Therefore no value comes back to the host in between: what one kernel finds out
the next one reads from device memory. Compiled with --fmad=false, results are those of the
specification, to the tolerance of the CPU bodies. (CuPy adds -ftz=true: float32
numbers below 1.2e-38 count as zero.)

A body takes (rows, columns), and a batch, (frames, rows, columns), as if each frame came by itself:
blocks along z, or one frame after the other along x; those that number or measure regions take one
frame. The checks of `kernels` that look at values (NaN, infinity, levels outside of `bins`) are
made for host arrays only, as they would wait for the device: a body must not reach outside of its
memory whatever the values are.

The tests cover a new file by themselves where they can: every .cu is compiled for A100 and H100,
and `_cupy.__all__` must be that of `_reference`. The numbers need a test with the fixture `cupy`
(tests/test_kernels/conftest.py), which runs on the CPU, there and back, and on a GPU if there is
one: `kernels.NAME(cupy.asarray(frame))` and `cupy.asnumpy(...)`.
"""

from kernels._cupy.bilateral import bilateral
from kernels._cupy.clahe import clahe
from kernels._cupy.components import components
from kernels._cupy.fill_holes import fill_holes
from kernels._cupy.first_order import first_order
from kernels._cupy.flatten_bias import flatten_bias
from kernels._cupy.glcm import glcm
from kernels._cupy.gradient import gradient
from kernels._cupy.largest_component import largest_component
from kernels._cupy.lut import lut
from kernels._cupy.median3 import median3
from kernels._cupy.modality import modality
from kernels._cupy.nearest import nearest
from kernels._cupy.nlm import nlm
from kernels._cupy.noise import noise
from kernels._cupy.normalise import normalise
from kernels._cupy.percentile_window import percentile_window
from kernels._cupy.resample import resample
from kernels._cupy.shape import shape
from kernels._cupy.sharpness import sharpness
from kernels._cupy.unsharp import unsharp
from kernels._cupy.window import window
from kernels._cupy.window_resample_normalise import window_resample_normalise

__all__ = [
    "bilateral",
    "clahe",
    "components",
    "fill_holes",
    "first_order",
    "flatten_bias",
    "glcm",
    "gradient",
    "largest_component",
    "lut",
    "median3",
    "modality",
    "nearest",
    "nlm",
    "noise",
    "normalise",
    "percentile_window",
    "resample",
    "shape",
    "sharpness",
    "unsharp",
    "window",
    "window_resample_normalise",
]
