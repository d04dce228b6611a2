// Zero mean and unit variance on 256 levels, in float64. Sums are kept apart by block and added in
// the order of the blocks: the same bits on every run. Frames along z.
//
// `partial`: for each frame 3 x gridDim.x numbers: sums of values, sums of squared distances from
// the mean, and how many pixels differ from the first.

__device__ inline float64 add_up(const float64* partial, int32 count) {
    return sum_of_block((int32)threadIdx.x < count ? partial[threadIdx.x] : 0.0);
}

extern "C" __global__ void add(const VALUE* __restrict__ values, float64* __restrict__ partial,
                               int32 size) {
    values += (int64)blockIdx.z * size;
    partial += (int64)blockIdx.z * 3 * gridDim.x;
    float64 total = 0, different = 0;
    for (int32 i = (int32)flat_index(); i < size; i += gridDim.x * blockDim.x) {
        total += values[i];
        different += values[i] != values[0];
    }
    total = sum_of_block(total);
    different = sum_of_block(different);
    if (threadIdx.x) return;
    partial[blockIdx.x] = total;
    partial[2 * gridDim.x + blockIdx.x] = different;
}

// The mean first: a single pass cancels where the mean is large.
extern "C" __global__ void add_squares(const VALUE* __restrict__ values,
                                       float64* __restrict__ partial, int32 size) {
    values += (int64)blockIdx.z * size;
    partial += (int64)blockIdx.z * 3 * gridDim.x;
    const float64 mean = add_up(partial, gridDim.x) / size;
    float64 squares = 0;
    for (int32 i = (int32)flat_index(); i < size; i += gridDim.x * blockDim.x) {
        const float64 distance = values[i] - mean;
        squares += distance * distance;
    }
    squares = sum_of_block(squares);
    if (!threadIdx.x) partial[gridDim.x + blockIdx.x] = squares;
}

extern "C" __global__ void levels(const VALUE* __restrict__ values, uint8* __restrict__ out,
                                  const float64* __restrict__ partial, int32 parts, int32 size,
                                  float64 spread) {
    partial += (int64)blockIdx.z * 3 * parts;
    const float64 mean = add_up(partial, parts) / size;
    const float64 deviation = sqrt(add_up(partial + parts, parts) / size);
    const bool constant = add_up(partial + 2 * parts, parts) == 0;
    const float64 scale = constant ? 0.0 : 255.0 / (2.0 * spread * deviation);
    const int64 begin = (int64)blockIdx.z * size;
    map_pixels(values + begin, out + begin, size, [=](VALUE value) {
        const float64 level = limit(((float64)value - mean) * scale + 127.5, 0.0, 255.0);
        return (uint8)(int32)least(floor(level + 0.5), 255.0);
    });
}
