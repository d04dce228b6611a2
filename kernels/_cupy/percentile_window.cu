// The values at two ranks by a radix select from the highest digit on, then a straight line.
//
// A value is seen as a key: an unsigned integer in the same order. After each pass the leading
// digits of the two keys looked for are known; the next pass counts the next digit of those values
// only that begin with them. Counts are whole numbers: the result is exact, in any order.

enum : int32 { DIGIT = 11, DIGITS = 1 << DIGIT, BITS = 8 * sizeof(VALUE) };

// Where the digit of a pass lies in a key.
struct Place {
    int32 shift, width;

    __device__ explicit Place(int32 pass) {
        const int32 left = BITS - DIGIT * pass;
        width = left < DIGIT ? left : DIGIT;
        shift = left - width;
    }
    __device__ uint64 before(uint64 key) const {
        return shift + width < 64 ? key >> (shift + width) : 0;
    }
    __device__ int32 digit(uint64 key) const {
        return (int32)(key >> shift & ((1ull << width) - 1));
    }
};

// Two tables for each frame; where both keys begin alike only the first is used. Blocks: any
// number along x, one frame each along z.
extern "C" __global__ void count(const VALUE* __restrict__ values, int32 size, int32 pass,
                                 const uint64* __restrict__ keys, uint32* __restrict__ counts) {
    __shared__ uint32 table[2][DIGITS];
    for (int32 i = threadIdx.x; i < 2 * DIGITS; i += blockDim.x) table[i / DIGITS][i % DIGITS] = 0;
    __syncthreads();
    const Place place(pass);
    const uint64 first = keys[2 * blockIdx.z], second = keys[2 * blockIdx.z + 1];
    values += (int64)blockIdx.z * size;
    for (int32 i = (int32)flat_index(); i < size; i += gridDim.x * blockDim.x) {
        const uint64 key = key_of(values[i]), begin = place.before(key);
        if (begin == first) atomicAdd(&table[0][place.digit(key)], 1u);
        else if (begin == second) atomicAdd(&table[1][place.digit(key)], 1u);
    }
    __syncthreads();
    counts += (int64)blockIdx.z * 2 * DIGITS;
    for (int32 i = threadIdx.x; i < 2 * DIGITS; i += blockDim.x) {
        const uint32 found = table[i / DIGITS][i % DIGITS];
        if (found) atomicAdd(&counts[i], found);
    }
}

// One block a frame: append a digit to each key, and make each rank one within the values that
// begin with it. In the first pass the ranks are `low` and `high`.
extern "C" __global__ void choose(const uint32* __restrict__ counts, uint64* __restrict__ keys,
                                  uint32* __restrict__ ranks, int32 pass, uint32 low,
                                  uint32 high) {
    counts += (int64)blockIdx.z * 2 * DIGITS;
    keys += 2 * blockIdx.z;
    ranks += 2 * blockIdx.z;
    const int32 width = Place(pass).width, each = DIGITS / blockDim.x;
    const uint64 known[2] = {keys[0], keys[1]};
    const uint32 wanted[2] = {pass ? ranks[0] : low, pass ? ranks[1] : high};
    for (int32 which = 0; which < 2; which++) {
        const uint32* mine = counts + (known[0] == known[1] ? 0 : which * DIGITS);
        mine += threadIdx.x * each;
        uint32 here = 0, all;
        for (int32 i = 0; i < each; i++) here += mine[i];
        uint32 below = sum_before(here, all);
        for (int32 i = 0; i < each; below += mine[i], i++)
            if (below <= wanted[which] && wanted[which] < below + mine[i]) {
                keys[which] = known[which] << width | (uint64)(threadIdx.x * each + i);
                ranks[which] = wanted[which] - below;
            }
    }
}

extern "C" __global__ void stretch(const VALUE* __restrict__ values, uint16* __restrict__ out,
                                   int32 size, const uint64* __restrict__ keys, int32 bins) {
    const float64 low = value_of(keys[2 * blockIdx.z], (VALUE)0);
    const float64 high = value_of(keys[2 * blockIdx.z + 1], (VALUE)0);
    const float64 scale = low < high ? (bins - 1) / (high - low) : 0.0;
    const int64 begin = (int64)blockIdx.z * size;
    map_pixels(values + begin, out + begin, size, [=](VALUE value) {
        return (uint16)(int32)((limit((float64)value, low, high) - low) * scale + 0.5);
    });
}
