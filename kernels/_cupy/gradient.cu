// Sobel's magnitude inside a mask: its sum and maximum, then its spread around the mean. Sums of
// floats are made by block, then of the blocks, in a fixed order.

struct Frame {
    const VALUE* values;
    int32 rows, columns;

    __device__ float64 at(int32 y, int32 x) const {
        y = limit(y, 0, rows - 1);
        x = limit(x, 0, columns - 1);
        return (float64)values[(int64)y * columns + x];
    }
    // The magnitude in units per pixel; edges are repeated.
    __device__ float64 steepness(int32 y, int32 x) const {
        float64 down = 0.0, along = 0.0;
        for (int32 k = -1; k <= 1; k++) {
            const float64 weight = k ? 1.0 : 2.0;
            down += weight * (at(y + 1, x + k) - at(y - 1, x + k));
            along += weight * (at(y + k, x + 1) - at(y + k, x - 1));
        }
        return sqrt(down * down + along * along) / 8.0;
    }
};

// found: the count, and the key of the greatest magnitude.
extern "C" __global__ void sum(const VALUE* __restrict__ values, const uint8* __restrict__ mask,
                               int32 masked, int32 size, int32 columns,
                               uint64* __restrict__ found, float64* __restrict__ sums) {
    __shared__ uint64 greatest;
    if (threadIdx.x == 0) greatest = 0;
    __syncthreads();
    const Frame frame = {values, size / columns, columns};
    uint64 count = 0, high = 0;
    float64 sum = 0.0;
    for (int32 i = (int32)flat_index(); i < size; i += gridDim.x * blockDim.x)
        if (!masked || mask[i]) {
            const float64 steep = frame.steepness(i / columns, i % columns);
            high = most(high, key_of(steep));
            sum += steep;
            count++;
        }
    if (count) atomicMax(&greatest, high);
    count = sum_of_block(count);
    sum = sum_of_block(sum);
    if (threadIdx.x) return;
    sums[blockIdx.x] = sum;
    if (!count) return;
    atomicAdd(&found[0], count);
    atomicMax(&found[1], greatest);
}

__device__ inline float64 mean_of(const uint64* found, const float64* sums, int32 blocks) {
    const float64 sum = sum_of_block((int32)threadIdx.x < blocks ? sums[threadIdx.x] : 0.0);
    return sum / (float64)most<uint64>(found[0], 1);
}

extern "C" __global__ void spread(const VALUE* __restrict__ values, const uint8* __restrict__ mask,
                                  int32 masked, int32 size, int32 columns,
                                  const uint64* __restrict__ found,
                                  const float64* __restrict__ sums,
                                  float64* __restrict__ squares) {
    const float64 mean = mean_of(found, sums, gridDim.x);
    const Frame frame = {values, size / columns, columns};
    float64 square = 0.0;
    for (int32 i = (int32)flat_index(); i < size; i += gridDim.x * blockDim.x)
        if (!masked || mask[i]) {
            const float64 offset = frame.steepness(i / columns, i % columns) - mean;
            square += offset * offset;
        }
    square = sum_of_block(square);
    if (threadIdx.x == 0) squares[blockIdx.x] = square;
}

// One block: the results in the order of the specification.
extern "C" __global__ void finish(const uint64* __restrict__ found,
                                  const float64* __restrict__ sums,
                                  const float64* __restrict__ squares, int32 blocks,
                                  float64* __restrict__ out) {
    const float64 mean = mean_of(found, sums, blocks);
    const float64 variance = mean_of(found, squares, blocks);
    if (threadIdx.x || !found[0]) return;
    out[0] = (float64)found[0];
    out[1] = mean;
    out[2] = sqrt(variance);
    out[3] = value_of(found[1], (float64)0);
}
