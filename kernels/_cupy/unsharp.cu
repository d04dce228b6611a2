// The unsharp mask, in float64: a Gaussian down the columns, then along the rows. `weights`: the
// Gaussian from its middle outwards, radius + 1 numbers. Edges are replicated. Blocks of a row
// along x, rows along y, frames along z.

extern "C" __global__ void down(const VALUE* __restrict__ values, float64* __restrict__ between,
                                const float64* __restrict__ weights, int32 radius, int32 rows,
                                int32 columns) {
    const int32 x = (int32)flat_index(), y = blockIdx.y;
    if (x >= columns) return;
    values += (int64)blockIdx.z * rows * columns + x;
    float64 total = weights[0] * values[(int64)y * columns];
    for (int32 k = 1; k <= radius; k++) {
        const float64 above = values[(int64)most(y - k, 0) * columns];
        const float64 below = values[(int64)least(y + k, rows - 1) * columns];
        total += weights[k] * (above + below);
    }
    between[((int64)blockIdx.z * rows + y) * columns + x] = total;
}

// Integers are rounded half up, and cut at `low` and `high`.
extern "C" __global__ void sharpen(const VALUE* __restrict__ values,
                                   const float64* __restrict__ between, VALUE* __restrict__ out,
                                   const float64* __restrict__ weights, int32 radius,
                                   int32 columns, float64 amount, int32 integers, float64 low,
                                   float64 high) {
    const int32 x = (int32)flat_index();
    if (x >= columns) return;
    const int64 row = ((int64)blockIdx.z * gridDim.y + blockIdx.y) * columns;
    between += row;
    float64 blurred = weights[0] * between[x];
    for (int32 k = 1; k <= radius; k++)
        blurred += weights[k] * (between[most(x - k, 0)] + between[least(x + k, columns - 1)]);
    const float64 value = values[row + x];
    float64 sharp = value + amount * (value - blurred);
    if (integers) sharp = limit(floor(sharp + 0.5), low, high);
    out[row + x] = (VALUE)sharp;
}
