// The first step of three in one: each pixel is windowed where it is read, and goes at once into
// the new rows; the windowed frame is never in memory. Blocks of a row along x, new rows along y,
// frames along z. `first`, `weights`: as in resample.cu.

extern "C" __global__ void down(const VALUE* __restrict__ values, float64* __restrict__ between,
                                const int32* __restrict__ first,
                                const float64* __restrict__ weights, int32 taps, int32 old_rows,
                                int32 columns, int32 function, float64 middle, float64 width,
                                float64 low, float64 high) {
    const Voi voi = {function, middle, width, low, high};
    const int32 x = (int32)flat_index(), y = blockIdx.y;
    if (x >= columns) return;
    values += ((int64)blockIdx.z * old_rows + first[y]) * columns + x;
    float64 total = 0;
    for (int32 k = 0; k < taps; k++) {
        const float64 weight = weights[y * taps + k];
        // rounded to float32 as the windowed frame is; a weight of zero spares the function
        if (weight != 0) total += weight * (float32)voi(values[(int64)k * columns]);
    }
    between[((int64)blockIdx.z * gridDim.y + y) * columns + x] = total;
}
