// The sums over a mask that its shape is computed from: whole numbers, exact in any order.

struct Mask {
    const uint8* values;
    int32 rows, columns;

    __device__ bool inside(int32 y, int32 x) const {
        return y >= 0 && x >= 0 && y < rows && x < columns && values[(int64)y * columns + x];
    }
    // Inside, with one of four neighbours outside.
    __device__ bool border(int32 y, int32 x) const {
        return inside(y, x) && !(inside(y - 1, x) && inside(y + 1, x) && inside(y, x - 1) &&
                                 inside(y, x + 1));
    }
    // How the outline goes through a border pixel: 0 straight on, 1 diagonally, 2 one of each;
    // -1 where it does not.
    __device__ int32 step(int32 y, int32 x) const {
        const int32 beside = border(y - 1, x) + border(y + 1, x) + border(y, x - 1) + border(y, x + 1);
        const int32 corner = border(y - 1, x - 1) + border(y - 1, x + 1) + border(y + 1, x - 1) +
                             border(y + 1, x + 1);
        switch (1 + 2 * beside + 10 * corner) {
            case 5: case 7: case 15: case 17: case 25: case 27: return 0;
            case 21: case 33: return 1;
            case 13: case 23: return 2;
            default: return -1;
        }
    }
};

extern "C" __global__ void sum(const uint8* __restrict__ values, int32 rows, int32 columns,
                               uint64* __restrict__ out) {
    const Mask mask = {values, rows, columns};
    uint64 sums[9] = {};
    for (int64 i = flat_index(); i < (int64)rows * columns; i += gridDim.x * blockDim.x) {
        if (!values[i]) continue;
        const uint64 y = i / columns, x = i % columns;
        const uint64 moments[6] = {1, y, x, y * y, x * x, x * y};
        for (int32 k = 0; k < 6; k++) sums[k] += moments[k];
        if (!mask.border((int32)y, (int32)x)) continue;
        const int32 step = mask.step((int32)y, (int32)x);
        if (step >= 0) sums[6 + step]++;
    }
    for (int32 k = 0; k < 9; k++) {
        const uint64 all = sum_of_block(sums[k]);
        if (threadIdx.x == 0 && all) atomicAdd(&out[k], all);
    }
}
