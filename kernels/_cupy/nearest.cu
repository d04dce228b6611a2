// Nearest neighbour between pixel centres. Blocks of a new row along x, rows along y, masks
// along z.

extern "C" __global__ void nearest(const uint8* __restrict__ mask, uint8* __restrict__ out,
                                   int32 old_rows, int32 old_columns, int32 rows, int32 columns) {
    const int64 x = flat_index(), y = blockIdx.y;
    if (x >= columns) return;
    const int64 from_y = (2 * y + 1) * old_rows / (2 * (int64)rows);
    const int64 from_x = (2 * x + 1) * old_columns / (2 * (int64)columns);
    mask += (int64)blockIdx.z * old_rows * old_columns;
    out += (int64)blockIdx.z * rows * columns;
    out[y * columns + x] = mask[from_y * old_columns + from_x];
}
