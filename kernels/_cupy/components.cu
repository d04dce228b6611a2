// Numbers for the trees that `largest_component.start` and its twins made of a mask: the root of
// each is its first pixel in raster order, and its number is how many roots come up to it.

// Each pixel with the one to the left and the one above. Blocks of a row along x, rows along y.
extern "C" __global__ void connect_edges(int32* parents, int32 rows, int32 columns) {
    const int32 x = (int32)flat_index(), y = blockIdx.y, at = y * columns + x;
    if (x >= columns || parents[at] < 0) return;
    if (x > 0 && parents[at - 1] >= 0) join(parents, at, at - 1);
    if (y > 0 && parents[at - columns] >= 0) join(parents, at, at - columns);
}

// The roots in each block of pixels.
extern "C" __global__ void count_roots(const int32* __restrict__ parents,
                                       int32* __restrict__ counts, int32 size) {
    const int32 i = (int32)flat_index();
    const int32 roots = sum_of_block<int32>(i < size && parents[i] == i);
    if (threadIdx.x == 0) counts[blockIdx.x] = roots;
}

// One block: what comes before each block of pixels, and all there is.
extern "C" __global__ void scan(int32* __restrict__ counts, int32 blocks,
                                int32* __restrict__ total) {
    int32 before = 0;
    for (int32 first = 0; first < blocks; first += blockDim.x) {
        const int32 i = first + threadIdx.x;
        int32 all;
        const int32 within = sum_before(i < blocks ? counts[i] : 0, all);
        if (i < blocks) counts[i] = before + within;
        before += all;
    }
    if (threadIdx.x == 0) *total = before;
}

// The roots' own numbers; the others have none yet.
extern "C" __global__ void number_roots(const int32* __restrict__ parents,
                                        const int32* __restrict__ counts,
                                        int32* __restrict__ numbers, int32 size) {
    const int32 i = (int32)flat_index();
    const bool root = i < size && parents[i] == i;
    int32 all;
    const int32 within = sum_before<int32>(root, all);
    if (i < size) numbers[i] = root ? counts[blockIdx.x] + within + 1 : 0;
}

extern "C" __global__ void number(const int32* __restrict__ parents, int32* numbers, int32 size) {
    const int32 i = (int32)flat_index();
    if (i < size && parents[i] >= 0) numbers[i] = numbers[root_of(parents, i)];
}
