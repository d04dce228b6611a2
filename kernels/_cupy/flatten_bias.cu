// Homomorphic flattening, in float64. Sums are kept apart by block and added in the order of the
// blocks: the same bits on every run. Frames along z; `size`: pixels of a frame.
//
// `partial`: for each frame 3 x `parts` numbers: sums of values, sums of logarithms, pixels of
// tissue. `planes`: for each frame the deviation of the logarithm from its mean, then the weight.

__device__ inline float64 add_up(const float64* partial, int32 count) {
    return sum_of_block((int32)threadIdx.x < count ? partial[threadIdx.x] : 0.0);
}

extern "C" __global__ void add(const VALUE* __restrict__ values, float64* __restrict__ partial,
                               int32 size) {
    values += (int64)blockIdx.z * size;
    float64 total = 0;
    for (int32 i = (int32)flat_index(); i < size; i += gridDim.x * blockDim.x) total += values[i];
    total = sum_of_block(total);
    if (!threadIdx.x) partial[(int64)blockIdx.z * 3 * gridDim.x + blockIdx.x] = total;
}

extern "C" __global__ void logarithms(const VALUE* __restrict__ values,
                                      float64* __restrict__ planes, float64* __restrict__ partial,
                                      int32 size, float64 background) {
    values += (int64)blockIdx.z * size;
    planes += (int64)blockIdx.z * 2 * size;
    partial += (int64)blockIdx.z * 3 * gridDim.x;
    const float64 threshold = most(background * add_up(partial, gridDim.x) / size, 0.0);
    float64 total = 0, count = 0;
    for (int32 i = (int32)flat_index(); i < size; i += gridDim.x * blockDim.x) {
        const float64 value = values[i];
        const bool tissue = value > threshold;
        const float64 logarithm = tissue ? log(value) : 0.0;
        planes[i] = logarithm;
        planes[size + i] = tissue;
        total += logarithm;
        count += tissue;
    }
    total = sum_of_block(total);
    count = sum_of_block(count);
    if (threadIdx.x) return;
    partial[gridDim.x + blockIdx.x] = total;
    partial[2 * gridDim.x + blockIdx.x] = count;
}

extern "C" __global__ void centre(float64* __restrict__ planes,
                                  const float64* __restrict__ partial, int32 parts, int32 size) {
    planes += (int64)blockIdx.z * 2 * size;
    partial += (int64)blockIdx.z * 3 * parts;
    const float64 total = add_up(partial + parts, parts);
    const float64 mean = total / most(add_up(partial + 2 * parts, parts), 1.0);
    const int32 i = (int32)flat_index();
    if (i < size) planes[i] -= mean * planes[size + i];
}

// The sum of 2 * radius + 1 pixels of a column around each; what lies outside is zero. Columns along
// x, rows along y, planes along z.
extern "C" __global__ void sum_down(const float64* __restrict__ planes, float64* __restrict__ out,
                                    int32 rows, int32 columns, int32 radius) {
    const int32 x = (int32)flat_index(), y = blockIdx.y;
    if (x >= columns) return;
    const int64 begin = (int64)blockIdx.z * rows * columns + x;
    const int32 first = most(y - radius, 0), last = least(y + radius, rows - 1);
    float64 total = 0;
    for (int32 i = first; i <= last; i++) total += planes[begin + (int64)i * columns];
    out[begin + (int64)y * columns] = total;
}

// The same along the rows.
extern "C" __global__ void sum_along(const float64* __restrict__ planes, float64* __restrict__ out,
                                     int32 rows, int32 columns, int32 radius) {
    const int32 x = (int32)flat_index(), y = blockIdx.y;
    if (x >= columns) return;
    const int64 begin = ((int64)blockIdx.z * rows + y) * columns;
    const int32 first = most(x - radius, 0), last = least(x + radius, columns - 1);
    float64 total = 0;
    for (int32 i = first; i <= last; i++) total += planes[begin + i];
    out[begin + x] = total;
}

extern "C" __global__ void divide(const VALUE* __restrict__ values,
                                  const float64* __restrict__ planes, float32* __restrict__ out,
                                  int32 size, float64 prior) {
    planes += (int64)blockIdx.z * 2 * size;
    const int32 i = (int32)flat_index();
    if (i >= size) return;
    const float64 field = planes[i] / (planes[size + i] + prior);
    const int64 at = (int64)blockIdx.z * size + i;
    out[at] = (float32)((float64)values[at] * exp(-field));
}
