// Statistics of the values inside a mask: their extent, a radix select for the percentiles, and two
// passes for the moments. Sums of floats are made by block, then of the blocks, in a fixed order.

enum : int32 { RANKS = 10, DIGITS = 256, BITS = 8 * sizeof(VALUE) };

// The ranks around a percentile, and how far it lies between them.
struct Percentile {
    float64 place;

    __device__ Percentile(int32 i, uint64 count) {
        const float64 shares[] = {0.1, 0.25, 0.5, 0.75, 0.9};
        place = shares[i] * (float64)(count - 1);
    }
    __device__ uint64 low() const { return (uint64)place; }
    __device__ uint64 high() const { return (uint64)ceil(place); }
    __device__ float64 between() const { return place - (float64)low(); }
};

extern "C" __global__ void extent(const VALUE* __restrict__ values, const uint8* __restrict__ mask,
                                  int32 masked, int32 size, uint64* __restrict__ found) {
    __shared__ uint64 ends[2];
    if (threadIdx.x == 0) ends[0] = ends[1] = 0;
    __syncthreads();
    uint64 low = 0, high = 0, count = 0;
    for (int32 i = (int32)flat_index(); i < size; i += gridDim.x * blockDim.x)
        if (!masked || mask[i]) {
            const uint64 key = key_of(values[i]);
            low = most(low, ~key);
            high = most(high, key);
            count++;
        }
    if (count) {
        atomicMax(&ends[0], low);
        atomicMax(&ends[1], high);
    }
    const uint64 pixels = sum_of_block(count);
    if (threadIdx.x || !pixels) return;
    atomicAdd(&found[0], pixels);
    atomicMax(&found[1], ends[0]);
    atomicMax(&found[2], ends[1]);
}

// One thread: where each percentile lies among the sorted values.
extern "C" __global__ void rank(const uint64* __restrict__ found, uint64* __restrict__ keys,
                                uint64* __restrict__ ranks) {
    for (int32 i = 0; i < RANKS; i++) {
        const Percentile wanted(i / 2, most<uint64>(found[0], 1));
        keys[i] = 0;
        ranks[i] = i % 2 ? wanted.high() : wanted.low();
    }
}

// A table of the next digit for each key so far; keys that begin alike share the first one's.
extern "C" __global__ void count(const VALUE* __restrict__ values, const uint8* __restrict__ mask,
                                 int32 masked, int32 size, const uint64* __restrict__ keys,
                                 int32 pass, uint32* __restrict__ counts) {
    __shared__ uint32 table[RANKS * DIGITS];
    for (int32 i = threadIdx.x; i < RANKS * DIGITS; i += blockDim.x) table[i] = 0;
    __syncthreads();
    const int32 shift = BITS - 8 * (pass + 1);
    for (int32 i = (int32)flat_index(); i < size; i += gridDim.x * blockDim.x) {
        if (masked && !mask[i]) continue;
        const uint64 key = key_of(values[i]) >> shift;
        for (int32 r = 0; r < RANKS; r++)
            if (key >> 8 == keys[r]) {
                atomicAdd(&table[r * DIGITS + (int32)(key & 255)], 1u);
                break;
            }
    }
    __syncthreads();
    for (int32 i = threadIdx.x; i < RANKS * DIGITS; i += blockDim.x)
        if (table[i]) atomicAdd(&counts[i], table[i]);
}

// One block of DIGITS threads: append a digit to each key.
extern "C" __global__ void choose(const uint32* __restrict__ counts, uint64* __restrict__ keys,
                                  uint64* __restrict__ ranks) {
    uint64 known[RANKS], wanted[RANKS];
    for (int32 r = 0; r < RANKS; r++) {
        known[r] = keys[r];
        wanted[r] = ranks[r];
    }
    for (int32 r = 0; r < RANKS; r++) {
        int32 first = 0;
        while (known[first] != known[r]) first++;
        const uint64 here = counts[first * DIGITS + threadIdx.x];
        uint64 all;
        const uint64 below = sum_before(here, all);
        if (below <= wanted[r] && wanted[r] < below + here) {
            keys[r] = known[r] << 8 | threadIdx.x;
            ranks[r] = wanted[r] - below;
        }
    }
}

// The sum of the scaled values by block, and how many lie in each bin.
extern "C" __global__ void mean(const VALUE* __restrict__ values, const uint8* __restrict__ mask,
                                int32 masked, int32 size, const uint64* __restrict__ found,
                                uint32* __restrict__ counts, int32 bins,
                                float64* __restrict__ sums) {
    const Extent extent(found, (VALUE)0);
    float64 sum = 0.0;
    for (int32 i = (int32)flat_index(); i < size; i += gridDim.x * blockDim.x)
        if (!masked || mask[i]) {
            const float64 value = (float64)values[i];
            sum += extent.scaled(value);
            atomicAdd(&counts[extent.level(value, bins)], 1u);
        }
    sum = sum_of_block(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// The sum of what the blocks found, at most one a thread; every thread gets it.
__device__ inline float64 total(const float64* sums, int32 blocks) {
    return sum_of_block((int32)threadIdx.x < blocks ? sums[threadIdx.x] : 0.0);
}

// The sums of the second, third and fourth power of the distance from the mean, by block.
extern "C" __global__ void moments(const VALUE* __restrict__ values,
                                   const uint8* __restrict__ mask, int32 masked, int32 size,
                                   const uint64* __restrict__ found,
                                   const float64* __restrict__ sums,
                                   float64* __restrict__ powers) {
    const Extent extent(found, (VALUE)0);
    const float64 mean = total(sums, gridDim.x) / (float64)most<uint64>(extent.count, 1);
    float64 second = 0.0, third = 0.0, fourth = 0.0;
    for (int32 i = (int32)flat_index(); i < size; i += gridDim.x * blockDim.x)
        if (!masked || mask[i]) {
            const float64 offset = extent.scaled((float64)values[i]) - mean;
            const float64 square = offset * offset;
            second += square;
            third += square * offset;
            fourth += square * square;
        }
    second = sum_of_block(second);
    third = sum_of_block(third);
    fourth = sum_of_block(fourth);
    if (threadIdx.x) return;
    powers[blockIdx.x] = second;
    powers[gridDim.x + blockIdx.x] = third;
    powers[2 * gridDim.x + blockIdx.x] = fourth;
}

// One block: the results in the order of the specification.
extern "C" __global__ void finish(const uint64* __restrict__ found,
                                  const uint64* __restrict__ keys,
                                  const uint32* __restrict__ counts, int32 bins,
                                  const float64* __restrict__ sums,
                                  const float64* __restrict__ powers, int32 blocks,
                                  float64* __restrict__ out) {
    const Extent extent(found, (VALUE)0);
    const float64 count = (float64)most<uint64>(extent.count, 1);
    const float64 mean = total(sums, blocks) / count;
    const float64 second = total(powers, blocks) / count;
    const float64 third = total(powers + blocks, blocks) / count;
    const float64 fourth = total(powers + 2 * blocks, blocks) / count;
    float64 bits = 0.0;
    for (int32 i = threadIdx.x; i < bins; i += blockDim.x) {
        const float64 share = counts[i] / count;
        if (counts[i]) bits -= share * log2(share);
    }
    bits = sum_of_block(bits);
    if (threadIdx.x || !extent.count) return;
    out[0] = (float64)extent.count;
    out[1] = extent.low + extent.span * mean;
    out[2] = extent.span * sqrt(second);
    out[3] = extent.low;
    out[4] = value_of(found[2], (VALUE)0);
    for (int32 i = 0; i < RANKS / 2; i++) {
        const float64 low = value_of(keys[2 * i], (VALUE)0);
        const float64 high = value_of(keys[2 * i + 1], (VALUE)0);
        out[5 + i] = low + (high - low) * Percentile(i, extent.count).between();
    }
    out[10] = second > 0.0 ? third / (second * sqrt(second)) : 0.0;
    out[11] = second > 0.0 ? fourth / (second * second) - 3.0 : 0.0;
    out[12] = bits;
}
