// CUDA C++ on the CPU, for the tests: the same sources, compiled by g++.
//
// A block's threads are fibres of one thread. A warp runs alone from barrier to barrier of the block,
// ahead of all others or after them, as the order is forwards or backwards: where a barrier is
// missing, one of the two gives another result. A barrier that not all threads of the block (or of
// the warp) reach at the same line is an error, as is a barrier after some have left.
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __host__
#define __constant__ static
// In a section of its own, to fill it with what nobody wrote before each block.
#define __shared__ static __attribute__((section("shim_shared")))
extern "C" __attribute__((weak, visibility("hidden"))) char __start_shim_shared, __stop_shim_shared;
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __syncthreads() shim::wait(shim::BLOCK, __LINE__)
#define __syncwarp(...) shim::wait(shim::WARPS, __LINE__)
#define __shfl_up_sync(mask, v, by) shim::shuffle(v, shim::lane() - (int)(by), __LINE__)
#define __shfl_down_sync(mask, v, by) shim::shuffle(v, shim::lane() + (int)(by), __LINE__)
#define __shfl_xor_sync(mask, v, with) shim::shuffle(v, shim::lane() ^ (int)(with), __LINE__)
#define __shfl_sync(mask, v, from) shim::shuffle(v, (int)(from), __LINE__)

struct Dim3 { unsigned x, y, z; };
static Dim3 gridDim, blockDim, blockIdx, threadIdx;

template <typename T> static inline T min(T a, T b) { return b < a ? b : a; }
template <typename T> static inline T max(T a, T b) { return a < b ? b : a; }

template <typename T> struct Same { using type = T; };
#define ATOMIC(NAME, NEXT)                                                          \
    template <typename T> static inline T NAME(T* at, typename Same<T>::type value) { \
        const T old = *at;                                                          \
        *at = NEXT;                                                                 \
        return old;                                                                 \
    }
ATOMIC(atomicAdd, old + value)
ATOMIC(atomicSub, old - value)
ATOMIC(atomicMin, value < old ? value : old)
ATOMIC(atomicMax, old < value ? value : old)
ATOMIC(atomicOr, old | value)
ATOMIC(atomicAnd, old & value)
ATOMIC(atomicExch, value)
template <typename T>
static inline T atomicCAS(T* at, typename Same<T>::type expected, typename Same<T>::type value) {
    const T old = *at;
    if (old == expected) *at = value;
    return old;
}
static inline int __float2int_rn(float value) { return (int)rintf(value); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}

namespace shim {

enum State { READY, BLOCK, WARPS, DONE };
const int MOST = 1024, STACK = 65536;

// A stack of its own. Made once; it runs a thread of one block after the other. Changed between by
// _setjmp and _longjmp, as swapcontext asks the system to save the signals each time.
struct Fibre {
    jmp_buf at;
    bool made;
    State state;
    int line;
};

static Fibre fibres[MOST];
static char* stacks;
static jmp_buf scheduler, given_up;
static int current, threads;
static bool alone, backwards;
static char problem[200];
static void (*run_thread)(void*);
static void* run_arguments;

// Give the launch up, from whichever stack.
[[noreturn]] static void fail(int line, const char* text) {
    snprintf(problem, sizeof problem, "line %d: %s", line, text);
    _longjmp(given_up, 1);
}

static void leave() {
    if (!_setjmp(fibres[current].at)) _longjmp(scheduler, 1);
}

static void live() {
    while (true) {
        run_thread(run_arguments);
        fibres[current].state = DONE;
        leave();
    }
}

static void make(int number) {
    static ucontext_t fresh, unused;
    getcontext(&fresh);
    fresh.uc_stack.ss_sp = stacks + (size_t)number * STACK;
    fresh.uc_stack.ss_size = STACK;
    makecontext(&fresh, live, 0);
    fibres[number].made = true;
    swapcontext(&unused, &fresh);  // comes back by _longjmp to the scheduler
}

static void enter(int number) {
    if (_setjmp(scheduler)) return;
    if (fibres[number].made) _longjmp(fibres[number].at, 1);
    make(number);
}

static void wait(State barrier, int line) {
    if (alone) fail(line, "a barrier after other threads left");
    const int me = current;
    fibres[me].state = barrier;
    fibres[me].line = line;
    leave();
}

static int lane() { return threadIdx.x % 32; }

template <typename T> static T shuffle(T value, int from, int line) {
    static T values[MOST];
    const int me = current, own = lane();
    values[me] = value;
    wait(WARPS, line);
    const int other = me - own + from;
    const T result = from < 0 || from >= 32 || other >= threads ? value : values[other];
    wait(WARPS, line);
    return result;
}

static void resume(int thread) {
    current = thread;
    threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y,
                 thread / blockDim.x / blockDim.y};
    if (alone) return run_thread(run_arguments);
    enter(thread);
}

// Let the threads first .. last - 1 go on if all of them wait at the same barrier.
static bool release(State barrier, int first, int last) {
    for (int i = first; i < last; i++)
        if (fibres[i].state != barrier || fibres[i].line != fibres[first].line) return false;
    for (int i = first; i < last; i++) fibres[i].state = READY;
    return true;
}

static int in_order(int i, int count) { return backwards ? count - 1 - i : i; }

// Run a warp alone up to a barrier of the block, ahead of all others.
static void run_warp(int first) {
    const int last = min(first + 32, threads);
    do {
        for (int i = 0; i < last - first; i++) {
            const int thread = first + in_order(i, last - first);
            if (fibres[thread].state == READY) resume(thread);
        }
    } while (release(WARPS, first, last));
}

// True when all threads have met at a barrier, false when all are done.
static bool met() {
    if (release(BLOCK, 0, threads)) return true;
    for (int i = 0; i < threads; i++)
        if (fibres[i].state != DONE) fail(fibres[i].line, "not all threads reach this barrier");
    return false;
}

static void run_block() {
    if (&__start_shim_shared)
        memset(&__start_shim_shared, 0xA5, &__stop_shim_shared - &__start_shim_shared);
    for (int i = 0; i < threads; i++) fibres[i].state = READY;
    alone = false;
    resume(in_order(0, threads));
    // Where the first thread meets no barrier, no other may: they need no stack of their own.
    alone = fibres[in_order(0, threads)].state == DONE;
    if (alone) {
        for (int i = 1; i < threads; i++) resume(in_order(i, threads));
        return;
    }
    const int warps = (threads + 31) / 32;
    do
        for (int i = 0; i < warps; i++) run_warp(32 * in_order(i, warps));
    while (met());
}

static const char* run_grid(const unsigned* grid, const unsigned* block) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    threads = block[0] * block[1] * block[2];
    if (!threads || threads > MOST) return "a block has 1 to 1,024 threads";
    if (!stacks) stacks = (char*)malloc((size_t)MOST * STACK);
    const int count = grid[0] * grid[1] * grid[2];
    if (_setjmp(given_up)) {
        for (Fibre& fibre : fibres) fibre.made = false;  // some are in the middle of the kernel
        return problem;
    }
    for (int i = 0; i < count; i++) {
        const unsigned at = in_order(i, count);
        blockIdx = {at % grid[0], at / grid[0] % grid[1], at / grid[0] / grid[1]};
        run_block();
    }
    return 0;
}

// What a parameter of a kernel is, by NumPy's names: "const uint16*", "float64".
template <typename T> struct Name;
#define NAME(T, TEXT)                                                               \
    template <> struct Name<T> { static const char* text() { return TEXT; } };      \
    template <> struct Name<T*> { static const char* text() { return TEXT "*"; } }; \
    template <> struct Name<const T*> { static const char* text() { return "const " TEXT "*"; } };
NAME(signed char, "int8")
NAME(unsigned char, "uint8")
NAME(short, "int16")
NAME(unsigned short, "uint16")
NAME(int, "int32")
NAME(unsigned int, "uint32")
NAME(long long, "int64")
NAME(unsigned long long, "uint64")
NAME(float, "float32")
NAME(double, "float64")

template <int... I> struct Numbers {};
template <int N, int... I> struct UpTo : UpTo<N - 1, N - 1, I...> {};
template <int... I> struct UpTo<0, I...> { using type = Numbers<I...>; };
template <typename T> struct Plain { using type = T; };
template <typename T> struct Plain<const T> { using type = T; };

template <typename... A> struct Kernel {
    void (*function)(A...);
    void** arguments;

    template <int... I> void call(Numbers<I...>) {
        function(*(typename Plain<A>::type*)arguments[I]...);
    }
    static void run(void* self) {
        ((Kernel*)self)->call(typename UpTo<sizeof...(A)>::type());
    }
};

template <typename... A>
static const char* launch(void (*function)(A...), const unsigned* grid, const unsigned* block,
                          void** arguments, int reversed) {
    Kernel<A...> kernel{function, arguments};
    run_thread = Kernel<A...>::run;
    run_arguments = &kernel;
    backwards = reversed;
    return run_grid(grid, block);
}

template <typename... A> static const char* signature(void (*)(A...)) {
    static char text[1000];
    int used = 0;
    const char* names[] = {Name<A>::text()...};
    for (const char* name : names)
        used += snprintf(text + used, sizeof text - used, "%s%s", used ? ", " : "", name);
    return text;
}

}  // namespace shim

// What the sanitizers found: what they hand over begins with file, line and column. These take the
// place of their own library, which would end the process.
#define FOUND(NAME, TEXT)                                                       \
    extern "C" __attribute__((visibility("hidden"))) void __ubsan_handle_##NAME( \
        const char** file, ...) {                                               \
        shim::fail(*(const int*)(file + 1), TEXT);                              \
    }
FOUND(out_of_bounds_abort, "an index beyond the array")
FOUND(type_mismatch_v1_abort, "an address that is not a multiple of the value's size, or null")
FOUND(add_overflow_abort, "a sum beyond its type")
FOUND(sub_overflow_abort, "a difference beyond its type")
FOUND(mul_overflow_abort, "a product beyond its type")
FOUND(negate_overflow_abort, "a negative beyond its type")
FOUND(divrem_overflow_abort, "a division by zero, or beyond its type")
FOUND(shift_out_of_bounds_abort, "a shift beyond its type")
FOUND(pointer_overflow_abort, "an address beyond memory")

// Written by the tests after the source, once for each kernel.
#define SHIM_KERNEL(KERNEL)                                                                    \
    extern "C" const char* launch_##KERNEL(const unsigned* grid, const unsigned* block,        \
                                           void** arguments, int reversed) {                   \
        return shim::launch(KERNEL, grid, block, arguments, reversed);                         \
    }                                                                                          \
    extern "C" const char* signature_##KERNEL() { return shim::signature(KERNEL); }
