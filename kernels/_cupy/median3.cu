// The 3 x 3 median from sorted columns (Smith 1996). One thread a pixel; blocks of a row along x,
// rows along y, frames along z.

extern "C" __global__ void median(const VALUE* __restrict__ values, VALUE* __restrict__ out,
                                  int32 rows, int32 columns) {
    const int32 x = (int32)flat_index(), y = blockIdx.y;
    if (x >= columns) return;
    values += (int64)blockIdx.z * rows * columns;
    out += (int64)blockIdx.z * rows * columns;
    const VALUE* above = values + (int64)limit(y - 1, 0, rows - 1) * columns;
    const VALUE* here = values + (int64)y * columns;
    const VALUE* below = values + (int64)limit(y + 1, 0, rows - 1) * columns;
    VALUE low[3], middle[3], high[3];
    for (int32 i = 0; i < 3; i++) {
        const int32 at = limit(x + i - 1, 0, columns - 1);
        const VALUE a = above[at], b = here[at], c = below[at];
        const VALUE less = least(a, b), more = most(a, b);
        low[i] = least(less, c);
        middle[i] = most(less, least(more, c));
        high[i] = most(more, c);
    }
    const VALUE lows = most(low[0], most(low[1], low[2]));
    const VALUE highs = least(high[0], least(high[1], high[2]));
    const VALUE p = middle[0], q = middle[1], r = middle[2];
    const VALUE mid = most(least(p, q), least(most(p, q), r));
    out[(int64)y * columns + x] = most(least(lows, mid), least(most(lows, mid), highs));
}
