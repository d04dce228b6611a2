// The co-occurrence matrix: every pixel meets its later neighbours. Counts are whole numbers: exact,
// in any order.

enum : int32 { SMALL = 64 };  // levels whose matrix fits into a block's own memory

extern "C" __global__ void count(const VALUE* __restrict__ values, const uint8* __restrict__ mask,
                                 int32 masked, int32 size, int32 columns,
                                 const uint64* __restrict__ found, int32 levels, int32 distance,
                                 uint64* __restrict__ counts) {
    __shared__ uint32 table[SMALL * SMALL];
    const bool small = levels <= SMALL;
    if (small) {
        for (int32 i = threadIdx.x; i < levels * levels; i += blockDim.x) table[i] = 0;
        __syncthreads();
    }
    const Extent extent(found, (VALUE)0);
    const int32 rows = size / columns;
    const int32 down[] = {0, distance, distance, distance};
    const int32 along[] = {distance, distance, 0, -distance};
    for (int32 i = (int32)flat_index(); i < size; i += gridDim.x * blockDim.x) {
        if (masked && !mask[i]) continue;
        const int32 here = extent.level((float64)values[i], levels);
        for (int32 k = 0; k < 4; k++) {
            const int64 y = (int64)(i / columns) + down[k], x = (int64)(i % columns) + along[k];
            if (y >= rows || x < 0 || x >= columns) continue;
            const int64 other = y * columns + x;
            if (masked && !mask[other]) continue;
            const int32 pair = here * levels + extent.level((float64)values[other], levels);
            if (small) atomicAdd(&table[pair], 1u);
            else atomicAdd(&counts[pair], 1ull);
        }
    }
    if (!small) return;
    __syncthreads();
    for (int32 i = threadIdx.x; i < levels * levels; i += blockDim.x)
        if (table[i]) atomicAdd(&counts[i], (uint64)table[i]);
}
