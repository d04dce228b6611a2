// The variance of the Laplacian. Sums of floats are made by block, then of the blocks, in a fixed
// order.

// The pixel before the first is the second, and the one after the last the last but one.
__device__ inline int32 mirrored(int32 i, int32 length) {
    if (length == 1) return 0;
    return i < 0 ? 1 : (i < length ? i : length - 2);
}

extern "C" __global__ void sum(const VALUE* __restrict__ values, int32 rows, int32 columns,
                               float64* __restrict__ sums) {
    float64 sum = 0.0, square = 0.0;
    for (int64 i = flat_index(); i < (int64)rows * columns; i += gridDim.x * blockDim.x) {
        const int32 y = (int32)(i / columns), x = (int32)(i % columns);
        const VALUE* line = values + (int64)y * columns;
        float64 around = (float64)values[(int64)mirrored(y - 1, rows) * columns + x];
        around += (float64)values[(int64)mirrored(y + 1, rows) * columns + x];
        around += (float64)line[mirrored(x - 1, columns)];
        around += (float64)line[mirrored(x + 1, columns)];
        const float64 laplacian = around - 4.0 * (float64)line[x];
        sum += laplacian;
        square += laplacian * laplacian;
    }
    sum = sum_of_block(sum);
    square = sum_of_block(square);
    if (threadIdx.x) return;
    sums[blockIdx.x] = sum;
    sums[gridDim.x + blockIdx.x] = square;
}

// One block.
extern "C" __global__ void finish(const float64* __restrict__ sums, int32 blocks, int64 size,
                                  float64* __restrict__ out) {
    const bool mine = (int32)threadIdx.x < blocks;
    const float64 mean = sum_of_block(mine ? sums[threadIdx.x] : 0.0) / (float64)size;
    const float64 square = sum_of_block(mine ? sums[blocks + threadIdx.x] : 0.0) / (float64)size;
    if (threadIdx.x == 0) *out = most(square - mean * mean, 0.0);
}
