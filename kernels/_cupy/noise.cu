// Immerkaer's estimate. Sums of floats are made by block, then of the blocks, in a fixed order.

extern "C" __global__ void sum(const VALUE* __restrict__ values, int32 rows, int32 columns,
                               float64* __restrict__ sums) {
    const int64 inner = (int64)(rows - 2) * (columns - 2);
    float64 sum = 0.0;
    for (int64 i = flat_index(); i < inner; i += gridDim.x * blockDim.x) {
        const VALUE* above = values + i / (columns - 2) * columns + i % (columns - 2);
        const VALUE *here = above + columns, *below = here + columns;
        float64 down[3];
        for (int32 k = 0; k < 3; k++)
            down[k] = (float64)above[k] + (float64)below[k] - 2.0 * (float64)here[k];
        sum += fabs(down[0] - 2.0 * down[1] + down[2]);
    }
    sum = sum_of_block(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// One block.
extern "C" __global__ void finish(const float64* __restrict__ sums, int32 blocks, float64 scale,
                                  float64* __restrict__ out) {
    const float64 sum = sum_of_block((int32)threadIdx.x < blocks ? sums[threadIdx.x] : 0.0);
    if (threadIdx.x == 0) *out = sum * scale;
}
