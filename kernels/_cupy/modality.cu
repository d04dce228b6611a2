// PS3.3 C.11.1.1.2, in float64, rounded once to float32.

extern "C" __global__ void rescale(const VALUE* __restrict__ stored, float32* __restrict__ out,
                                   int64 size, float64 slope, float64 intercept) {
    map_pixels(stored, out, size,
               [=](VALUE value) { return (float32)((float64)value * slope + intercept); });
}
