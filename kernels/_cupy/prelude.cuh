// Put before every source by `kernels._cupy.device.module`: number types by NumPy's names, and what
// several kernels share. NVRTC has no standard headers, so nothing is included.
using int8 = signed char;
using uint8 = unsigned char;
using int16 = short;
using uint16 = unsigned short;
using int32 = int;
using uint32 = unsigned int;
using int64 = long long;
using uint64 = unsigned long long;
using float32 = float;
using float64 = double;

enum : int32 { WARP = 32 };
enum : uint32 { ALL_LANES = 0xffffffffu };

// N values that are loaded and stored as one: fewer, wider accesses to memory.
template <typename T, int32 N>
struct alignas(sizeof(T) * N) Pack {
    T at[N];
};

template <typename T>
__device__ inline T limit(T value, T least, T most) {
    return value < least ? least : (value > most ? most : value);
}

// The index of this thread in a one-dimensional grid.
__device__ inline int64 flat_index() {
    return (int64)blockIdx.x * blockDim.x + threadIdx.x;
}

// The sum of the values of all threads before this one in the block; `total`: of all threads. For
// one-dimensional blocks of whole warps; the order of the additions is always the same. Every
// thread of the block must call it.
template <typename T>
__device__ inline T sum_before(T value, T& total) {
    __shared__ T sums[WARP];
    const int32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    T running = value;
    for (int32 step = 1; step < WARP; step *= 2) {
        const T left = __shfl_up_sync(ALL_LANES, running, step);
        if (lane >= step) running += left;
    }
    if (lane == WARP - 1) sums[warp] = running;
    __syncthreads();
    T before = 0, all = 0;
    for (int32 i = 0; i < (int32)blockDim.x / WARP; i++) {
        if (i == warp) before = all;
        all += sums[i];
    }
    __syncthreads();  // the next call writes `sums` again
    total = all;
    return before + (running - value);
}

// The sum of the values of all threads of the block; as `sum_before`.
template <typename T>
__device__ inline T sum_of_block(T value) {
    T total;
    sum_before(value, total);
    return total;
}

template <typename T>
__device__ inline T least(T a, T b) {
    return b < a ? b : a;
}

template <typename T>
__device__ inline T most(T a, T b) {
    return a < b ? b : a;
}

template <typename T, int32 N>
__device__ inline bool aligned(const T* values, Pack<T, N>*) {
    return (uint64)values % sizeof(Pack<T, N>) == 0;
}

// out[i] = f(in[i]), four pixels a thread; for a flat grid of blocks(size, 4 * threads).
template <typename In, typename Out, typename F>
__device__ inline void map_pixels(const In* in, Out* out, int64 size, F f) {
    using Four = Pack<In, 4>;
    using Results = Pack<Out, 4>;
    const int64 first = 4 * flat_index();
    const bool whole = aligned(in, (Four*)0) && aligned(out, (Results*)0) && first + 4 <= size;
    if (whole) {
        const Four values = *(const Four*)(in + first);
        Results results;
        for (int32 i = 0; i < 4; i++) results.at[i] = f(values.at[i]);
        *(Results*)(out + first) = results;
    } else {
        for (int64 i = first; i < size && i < first + 4; i++) out[i] = f(in[i]);
    }
}

// The VOI LUT functions of PS3.3 C.11.2.1.2 and C.11.2.1.3, y in [0, 1].
struct Voi {
    int32 function;  // 0: a ramp (LINEAR, LINEAR_EXACT), 1: SIGMOID
    float64 middle, width, low, high;

    __device__ float64 operator()(float64 x) const {
        if (function == 1) return 1.0 / (1.0 + exp(-4.0 * ((x - middle) / width)));
        if (x <= low) return 0.0;
        if (x > high) return 1.0;
        return limit((x - middle) / width + 0.5, 0.0, 1.0);
    }
};

// The root of a tree of pixels (union and find): the only one that is its own parent.
__device__ inline int32 root_of(const volatile int32* parents, int32 i) {
    for (int32 parent = parents[i]; parent != i; parent = parents[i]) i = parent;
    return i;
}

// Another thread may join the same two trees meanwhile: then what it put in is joined as well.
__device__ inline void join(int32* parents, int32 a, int32 b) {
    while (true) {
        a = root_of(parents, a);
        b = root_of(parents, b);
        if (a == b) return;
        const int32 first = least(a, b), second = most(a, b);
        const int32 found = atomicMin(&parents[second], first);
        if (found == second) return;
        a = first;
        b = found;
    }
}

// A number as an unsigned integer in the same order, and back.
__device__ inline uint64 key_of(uint8 value) { return value; }
__device__ inline uint64 key_of(uint16 value) { return value; }
__device__ inline uint64 key_of(int16 value) { return (uint16)(value ^ 0x8000); }

union Single {
    float32 value;
    uint32 bits;
};
union Double {
    float64 value;
    uint64 bits;
};

// A negative float orders by its inverted bits.
__device__ inline uint64 key_of(float32 value) {
    Single single;
    single.value = value;
    return single.bits >> 31 ? ~single.bits : single.bits | 0x80000000u;
}
__device__ inline uint64 key_of(float64 value) {
    Double twice;
    twice.value = value;
    return twice.bits >> 63 ? ~twice.bits : twice.bits | 0x8000000000000000ull;
}

__device__ inline float64 value_of(uint64 key, uint8) { return (float64)key; }
__device__ inline float64 value_of(uint64 key, uint16) { return (float64)key; }
__device__ inline float64 value_of(uint64 key, int16) { return (float64)key - 32768.0; }
__device__ inline float64 value_of(uint64 key, float32) {
    Single single;
    single.bits = (uint32)(key >> 31 ? key & 0x7fffffffu : ~key);
    return single.value;
}
__device__ inline float64 value_of(uint64 key, float64) {
    Double twice;
    twice.bits = key >> 63 ? key & 0x7fffffffffffffffull : ~key;
    return twice.value;
}

// How many pixels a region has, and its least and greatest value: found[0] counts, the others are
// the greatest inverted key and the greatest key, so that all three begin at 0.
struct Extent {
    uint64 count;
    float64 low, span;

    template <typename T>
    __device__ Extent(const uint64* found, T type) : count(found[0]), low(0.0), span(0.0) {
        if (!count) return;
        low = value_of(~found[1], type);
        span = value_of(found[2], type) - low;
    }
    // From 0 at the least value to 1 at the greatest; 0 where they agree.
    __device__ float64 scaled(float64 value) const {
        return span > 0.0 ? (value - low) / span : 0.0;
    }
    // One of so many equal levels; the greatest value belongs to the last.
    __device__ int32 level(float64 value, int32 levels) const {
        const float64 at = scaled(value) * levels;
        return at >= 0.0 ? (int32)least(at, (float64)(levels - 1)) : 0;  // 0 for NaN
    }
};
