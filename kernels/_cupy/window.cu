// The VOI LUT functions, in float64, rounded once.

// Bound by memory: a division a pixel would show, a product with the reciprocal does not.
extern "C" __global__ void ramp(const VALUE* __restrict__ values, float32* __restrict__ out,
                                int64 size, float64 middle, float64 slope, float64 low,
                                float64 high) {
    map_pixels(values, out, size, [=](VALUE value) {
        const float64 x = value;
        if (x <= low) return 0.0f;
        if (x > high) return 1.0f;
        return (float32)limit((x - middle) * slope + 0.5, 0.0, 1.0);
    });
}

extern "C" __global__ void grey(const VALUE* __restrict__ values, float32* __restrict__ out,
                                int64 size, int32 function, float64 middle, float64 width,
                                float64 low, float64 high) {
    const Voi voi = {function, middle, width, low, high};
    map_pixels(values, out, size, [=](VALUE value) { return (float32)voi(value); });
}

extern "C" __global__ void levels(const VALUE* __restrict__ values, uint16* __restrict__ out,
                                  int64 size, int32 function, float64 middle, float64 width,
                                  float64 low, float64 high, int32 bins) {
    const Voi voi = {function, middle, width, low, high};
    map_pixels(values, out, size,
               [=](VALUE value) { return (uint16)(int32)floor(voi(value) * (bins - 1) + 0.5); });
}
