// Non-local means in float32. A block filters SIDE x SIDE pixels, one thread each; it holds them and
// all that they are compared with. For each shift, squared differences are summed along the rows of
// the patches first, then down. Blocks along x and y, frames along z.

enum : int32 { SIDE = 16, PATCH = 7, SEARCH = 20, REACH = PATCH + SEARCH, WHOLE = SIDE + 2 * REACH };

extern "C" __global__ void filter(const VALUE* __restrict__ values, VALUE* __restrict__ out,
                                  int32 rows, int32 columns, int32 patch, int32 search,
                                  float32 scale, int32 integers, float64 low, float64 high) {
    __shared__ float32 near[WHOLE][WHOLE];
    __shared__ float32 sums[SIDE + 2 * PATCH][SIDE];
    const int32 margin = patch + search, whole = SIDE + 2 * margin, tall = SIDE + 2 * patch;
    const int32 top = blockIdx.y * SIDE, left = blockIdx.x * SIDE;
    values += (int64)blockIdx.z * rows * columns;
    out += (int64)blockIdx.z * rows * columns;
    // differences are what counts: wide values keep theirs in float32
    const VALUE origin = sizeof(VALUE) == 8 ? values[0] : (VALUE)0;
    for (int32 i = threadIdx.x; i < whole * whole; i += blockDim.x) {
        const int32 y = limit(top + i / whole - margin, 0, rows - 1);
        const int32 x = limit(left + i % whole - margin, 0, columns - 1);
        near[i / whole][i % whole] = (float32)(values[(int64)y * columns + x] - origin);
    }
    __syncthreads();
    const int32 row = threadIdx.x / SIDE, column = threadIdx.x % SIDE;
    const float32 centre = near[row + margin][column + margin];
    float32 total = 0, weights = 0;
    for (int32 dy = -search; dy <= search; dy++) {
        for (int32 dx = -search; dx <= search; dx++) {
            for (int32 i = threadIdx.x; i < tall * SIDE; i += blockDim.x) {
                const float32* here = &near[i / SIDE + search][i % SIDE + search];
                const float32* there = &near[i / SIDE + search + dy][i % SIDE + search + dx];
                float32 along = 0;
                for (int32 k = 0; k <= 2 * patch; k++) {
                    const float32 step = (there[k] - here[k]) * scale;
                    along += step * step;
                }
                sums[i / SIDE][i % SIDE] = along;
            }
            __syncthreads();
            float32 distance = 0;
            for (int32 k = 0; k <= 2 * patch; k++) distance += sums[row + k][column];
            const float32 weight = expf(-distance);
            total += weight * (near[row + margin + dy][column + margin + dx] - centre);
            weights += weight;
            __syncthreads();  // the next shift writes `sums` again
        }
    }
    const int32 y = top + row, x = left + column;
    if (y >= rows || x >= columns) return;
    const int64 at = (int64)y * columns + x;
    float64 smooth = (float64)values[at] + (float64)(total / weights);
    if (integers) smooth = limit(floor(smooth + 0.5), low, high);
    out[at] = (VALUE)smooth;
}
