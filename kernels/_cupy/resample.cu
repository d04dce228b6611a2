// Resampling by short lists of weights, in float64: down the columns, then along the rows. New
// pixel i is made of old pixels first[i] and the following. Blocks of a row along x, rows along y,
// frames along z.

extern "C" __global__ void down(const VALUE* __restrict__ values, float64* __restrict__ between,
                                const int32* __restrict__ first,
                                const float64* __restrict__ weights, int32 taps, int32 old_rows,
                                int32 columns) {
    const int32 x = (int32)flat_index(), y = blockIdx.y;
    if (x >= columns) return;
    values += ((int64)blockIdx.z * old_rows + first[y]) * columns + x;
    float64 total = 0;
    for (int32 k = 0; k < taps; k++) total += weights[y * taps + k] * values[(int64)k * columns];
    between[((int64)blockIdx.z * gridDim.y + y) * columns + x] = total;
}

// Integers are rounded half up, and cut at `low` and `high`.
extern "C" __global__ void along(const float64* __restrict__ between, VALUE* __restrict__ out,
                                 const int32* __restrict__ first,
                                 const float64* __restrict__ weights, int32 taps,
                                 int32 old_columns, int32 columns, int32 integers, float64 low,
                                 float64 high) {
    const int32 x = (int32)flat_index(), y = blockIdx.y;
    if (x >= columns) return;
    between += ((int64)blockIdx.z * gridDim.y + y) * old_columns + first[x];
    float64 total = 0;
    for (int32 k = 0; k < taps; k++) total += weights[x * taps + k] * between[k];
    if (integers) total = limit(floor(total + 0.5), low, high);
    out[((int64)blockIdx.z * gridDim.y + y) * columns + x] = (VALUE)total;
}
