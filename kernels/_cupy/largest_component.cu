// Connected components by union and find on the pixels (Komura 2015; Allegretti et al. 2019). The
// parent of a pixel is never after it, so the root of a component is its first pixel in raster
// order. Masks along z.

extern "C" __global__ void start(const uint8* __restrict__ mask, int32* __restrict__ parents,
                                 int32 size) {
    const int32 i = (int32)flat_index();
    const int64 at = (int64)blockIdx.z * size + i;
    if (i < size) parents[at] = mask[at] ? i : -1;
}

// Each pixel with those of its eight neighbours that come before it. Blocks of a row along x, rows
// along y.
extern "C" __global__ void connect(int32* parents, int32 rows, int32 columns) {
    const int32 x = (int32)flat_index(), y = blockIdx.y, at = y * columns + x;
    parents += (int64)blockIdx.z * rows * columns;
    if (x >= columns || parents[at] < 0) return;
    if (x > 0 && parents[at - 1] >= 0) join(parents, at, at - 1);
    if (y == 0) return;
    const int32 above = at - columns;
    if (parents[above] >= 0) {
        join(parents, at, above);  // which has its own neighbours joined
        return;
    }
    if (x > 0 && parents[above - 1] >= 0) join(parents, at, above - 1);
    if (x + 1 < columns && parents[above + 1] >= 0) join(parents, at, above + 1);
}

extern "C" __global__ void measure(int32* parents, uint32* __restrict__ sizes, int32 size) {
    const int32 i = (int32)flat_index();
    parents += (int64)blockIdx.z * size;
    if (i >= size || parents[i] < 0) return;
    const int32 root = root_of(parents, i);
    parents[i] = root;
    atomicAdd(&sizes[(int64)blockIdx.z * size + root], 1u);
}

// The size in the high half; of equals the first root, for which less is missing, is the greater.
extern "C" __global__ void choose(const uint32* __restrict__ sizes, uint64* __restrict__ largest,
                                  int32 size) {
    const int32 i = (int32)flat_index();
    if (i >= size) return;
    const uint64 pixels = sizes[(int64)blockIdx.z * size + i];
    if (pixels) atomicMax(&largest[blockIdx.z], pixels << 32 | (0xffffffffu - (uint32)i));
}

extern "C" __global__ void keep(const uint8* __restrict__ mask, const int32* __restrict__ parents,
                                const uint64* __restrict__ largest, uint8* __restrict__ out,
                                int32 size) {
    const int32 i = (int32)flat_index();
    if (i >= size) return;
    const int64 at = (int64)blockIdx.z * size + i;
    const int32 root = (int32)(0xffffffffu - (uint32)largest[blockIdx.z]);
    out[at] = parents[at] >= 0 && parents[at] == root ? mask[at] : 0;
}
