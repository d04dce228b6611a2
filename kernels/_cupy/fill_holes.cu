// The background with a frame of background around it; what its first pixel does not reach is a hole.

// Columns of the framed mask along x, its rows along y.
extern "C" __global__ void frame(const uint8* __restrict__ mask, uint8* __restrict__ background,
                                 int32 rows, int32 columns) {
    const int32 x = (int32)flat_index() - 1, y = (int32)blockIdx.y - 1;
    if (x > columns) return;
    const bool within = x >= 0 && x < columns && y >= 0 && y < rows;
    background[(int64)(y + 1) * (columns + 2) + x + 1] = !within || !mask[(int64)y * columns + x];
}

extern "C" __global__ void fill(const int32* __restrict__ parents, uint8* __restrict__ out,
                                int32 columns) {
    const int32 x = (int32)flat_index(), at = (blockIdx.y + 1) * (columns + 2) + x + 1;
    if (x >= columns) return;
    const bool outside = parents[at] >= 0 && root_of(parents, at) == 0;
    out[(int64)blockIdx.y * columns + x] = !outside;
}
