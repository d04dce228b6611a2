// PS3.3 C.11.1.1.1: what is outside takes the first or the last entry. Entries are only moved: one
// kernel a width.

template <typename ENTRY>
__device__ inline void look_up(const VALUE* values, ENTRY* out, int64 size, const ENTRY* table,
                               int32 last, float64 first, float64 half) {
    map_pixels(values, out, size, [=](VALUE value) {
        const float64 index = floor((float64)value + half) - first;
        // NaN is not above 0
        return table[index > 0 ? (int32)least(index, (float64)last) : 0];
    });
}

extern "C" __global__ void look_up_8(const VALUE* __restrict__ values, uint8* __restrict__ out,
                                     int64 size, const uint8* __restrict__ table, int32 last,
                                     float64 first, float64 half) {
    look_up(values, out, size, table, last, first, half);
}

extern "C" __global__ void look_up_16(const VALUE* __restrict__ values, uint16* __restrict__ out,
                                      int64 size, const uint16* __restrict__ table, int32 last,
                                      float64 first, float64 half) {
    look_up(values, out, size, table, last, first, half);
}

extern "C" __global__ void look_up_32(const VALUE* __restrict__ values, uint32* __restrict__ out,
                                      int64 size, const uint32* __restrict__ table, int32 last,
                                      float64 first, float64 half) {
    look_up(values, out, size, table, last, first, half);
}
