// The bilateral filter in float32. One thread a pixel; blocks of a row along x, rows along y,
// frames along z. `near` and `alike`: the factors of the squared distance in place, and of the
// distance in value. Integers are rounded half up, and cut at `low` and `high`.

extern "C" __global__ void filter(const VALUE* __restrict__ values, VALUE* __restrict__ out,
                                  int32 rows, int32 columns, int32 radius, float64 near,
                                  float32 alike, int32 integers, float64 low, float64 high) {
    const int32 x = (int32)flat_index(), y = blockIdx.y;
    if (x >= columns) return;
    values += (int64)blockIdx.z * rows * columns;
    out += (int64)blockIdx.z * rows * columns;
    const VALUE centre = values[(int64)y * columns + x];
    float32 total = 0, weights = 0;
    for (int32 dy = -radius; dy <= radius; dy++) {
        const VALUE* row = values + (int64)limit(y + dy, 0, rows - 1) * columns;
        for (int32 dx = -radius; dx <= radius; dx++) {
            const int32 squared = dy * dy + dx * dx;
            if (squared > radius * radius) continue;
            const float32 difference =
                (float32)(row[limit(x + dx, 0, columns - 1)] - centre);
            const float32 step = difference * alike;
            const float32 weight = expf(-(step * step + (float32)(squared * near)));
            total += weight * difference;
            weights += weight;
        }
    }
    float64 smooth = (float64)centre + (float64)(total / weights);
    if (integers) smooth = limit(floor(smooth + 0.5), low, high);
    out[(int64)y * columns + x] = (VALUE)smooth;
}
