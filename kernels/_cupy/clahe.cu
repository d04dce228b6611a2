// CLAHE with OpenCV's rules, in float32 as there. Frames along z.
//
// First the table of each tile; then the frame cell by cell. A cell lies between the middles of
// four tiles, and its block holds what the four say of a level as one word: a pixel is one look-up.
// Both need room for all levels in shared memory; where there are too many (16 bits), the kernels
// "wide" do the same from global memory.

enum : int32 { SHARED_BINS = 4096, PADDED_BINS = SHARED_BINS + SHARED_BINS / WARP };

struct Tiles {
    int32 rows, columns;          // of the frame
    int32 height, width;          // of a tile
    int32 down, along;            // how many tiles
    int32 bins, stride, most;     // levels; numbers from a table to the next; the height to cut at
};

// The index that reflect-101 padding shows at i >= 0.
__device__ inline int32 reflect(int32 i, int32 length) {
    if (i < length) return i;
    if (length == 1) return 0;
    i %= 2 * (length - 1);
    return i < length ? i : 2 * (length - 1) - i;
}

// Where the count of a level is kept: shifted, so that threads with 16 levels each do not all meet
// in two banks of shared memory.
__device__ inline int32 place(int32 level) { return level + level / WARP; }

__device__ void count_levels(const uint16* frame, const Tiles& tiles, int32* counts) {
    const int32 top = blockIdx.x / tiles.along * tiles.height;
    const int32 left = blockIdx.x % tiles.along * tiles.width;
    const int32 warps = blockDim.x / WARP;
    for (int32 y = top + (int32)threadIdx.x / WARP; y < top + tiles.height; y += warps) {
        const uint16* row = frame + (int64)reflect(y, tiles.rows) * tiles.columns;
        for (int32 x = left + (int32)threadIdx.x % WARP; x < left + tiles.width; x += WARP) {
            const int32 level = row[reflect(x, tiles.columns)];
            atomicAdd(&counts[place(least(level, tiles.bins - 1))], 1);
        }
    }
}

// Cut, hand out again what was cut, and sum up. The table takes the place of the counts at first: a
// thread's levels lie side by side, and memory wants those of a warp to.
__device__ void tabulate(const Tiles& tiles, int32* counts, uint16* table) {
    const int32 each = (tiles.bins + (int32)blockDim.x - 1) / (int32)blockDim.x;
    const int32 first = least((int32)threadIdx.x * each, tiles.bins);
    const int32 last = least(first + each, tiles.bins);
    int32 over = 0, kept = 0;
    for (int32 level = first; level < last; level++) {
        const int32 count = counts[place(level)];
        over += most(count - tiles.most, 0);
        kept += least(count, tiles.most);
    }
    over = sum_of_block(over);
    const int32 batch = over / tiles.bins, residual = over % tiles.bins;
    const int32 step = most(tiles.bins / most(residual, 1), 1);
    // one more for every `step`th level, `residual` times; `handed` of them lie before `first`
    int32 handed = (first + step - 1) / step, next = handed * step, total;
    total = sum_before(kept, total) + batch * first + least(handed, residual);
    const float32 scale = (float32)(tiles.bins - 1) / (float32)(tiles.height * tiles.width);
    for (int32 level = first; level < last; level++) {
        total += least(counts[place(level)], tiles.most) + batch;
        if (level == next) {
            total += handed++ < residual;
            next += step;
        }
        counts[place(level)] = __float2int_rn((float32)total * scale);
    }
    __syncthreads();
    for (int32 four = threadIdx.x; four < tiles.stride / 4; four += blockDim.x) {
        Pack<uint16, 4> levels;
        for (int32 k = 0; k < 4; k++) levels.at[k] = (uint16)counts[place(4 * four + k)];
        ((Pack<uint16, 4>*)table)[four] = levels;
    }
}

__device__ inline uint16* table_of(uint16* tables, const Tiles& tiles, int32 tile) {
    return tables + ((int64)blockIdx.z * tiles.down * tiles.along + tile) * tiles.stride;
}

// One block a tile, along x.
extern "C" __global__ void equalise(const uint16* __restrict__ frames, uint16* tables, int32 rows,
                                    int32 columns, int32 height, int32 width, int32 down,
                                    int32 along, int32 bins, int32 stride, int32 most) {
    const Tiles tiles = {rows, columns, height, width, down, along, bins, stride, most};
    __shared__ int32 counts[PADDED_BINS];
    for (int32 i = threadIdx.x; i < PADDED_BINS; i += blockDim.x) counts[i] = 0;
    __syncthreads();
    count_levels(frames + (int64)blockIdx.z * rows * columns, tiles, counts);
    __syncthreads();
    tabulate(tiles, counts, table_of(tables, tiles, blockIdx.x));
}

// `room`: zeros, place(stride) numbers for each tile of each frame.
extern "C" __global__ void equalise_wide(const uint16* __restrict__ frames, uint16* tables,
                                         int32* room, int32 rows, int32 columns, int32 height,
                                         int32 width, int32 down, int32 along, int32 bins,
                                         int32 stride, int32 most) {
    const Tiles tiles = {rows, columns, height, width, down, along, bins, stride, most};
    int32* counts = room + ((int64)blockIdx.z * gridDim.x + blockIdx.x) * place(stride);
    count_levels(frames + (int64)blockIdx.z * rows * columns, tiles, counts);
    __syncthreads();
    tabulate(tiles, counts, table_of(tables, tiles, blockIdx.x));
}

// A pixel in tiles: 0.0 is the middle of the first. `inverse`: 1 / the pixels of a tile.
__device__ inline float32 position(float32 pixel, float32 inverse) {
    return pixel * inverse - 0.5f;
}

// The first pixel of a cell: cell i lies between the middles of tiles i - 1 and i.
__device__ inline int32 begin_of(int32 cell, int32 tile, int32 tiles, int32 length) {
    if (cell > tiles) return length;
    const float32 inverse = 1.0f / (float32)tile;
    int32 pixel = most((int32)(((float32)cell - 0.5f) * (float32)tile) - 2, 0);
    while (pixel < length && floorf(position((float32)pixel, inverse)) < (float32)(cell - 1)) pixel++;
    return cell ? least(pixel, length) : 0;  // the padding may hold a whole cell
}

__device__ inline uint16 blend(const Pack<uint16, 4>& word, float32 x, float32 y) {
    const float32 upper = (float32)word.at[0] * (1.0f - x) + (float32)word.at[1] * x;
    const float32 lower = (float32)word.at[2] * (1.0f - x) + (float32)word.at[3] * x;
    return (uint16)__float2int_rn(upper * (1.0f - y) + lower * y);
}

// One block a cell, along x: (down + 1) * (along + 1) cells.
extern "C" __global__ void interpolate(const uint16* __restrict__ frames,
                                       const uint16* __restrict__ tables,
                                       uint16* __restrict__ out, int32 rows, int32 columns,
                                       int32 height, int32 width, int32 down, int32 along,
                                       int32 bins, int32 stride) {
    using Word = Pack<uint16, 4>;
    __shared__ Word words[SHARED_BINS];
    const int32 j = blockIdx.x / (along + 1), i = blockIdx.x % (along + 1);
    const int32 upper = most(j - 1, 0) * along, lower = least(j, down - 1) * along;
    const int32 left = most(i - 1, 0), right = least(i, along - 1);
    tables += (int64)blockIdx.z * down * along * stride;
    // `stride` is a multiple of 4, for loads of four levels at once
    for (int32 four = threadIdx.x; four < stride / 4; four += blockDim.x) {
        const Word a = ((const Word*)(tables + (int64)(upper + left) * stride))[four];
        const Word b = ((const Word*)(tables + (int64)(upper + right) * stride))[four];
        const Word c = ((const Word*)(tables + (int64)(lower + left) * stride))[four];
        const Word d = ((const Word*)(tables + (int64)(lower + right) * stride))[four];
        for (int32 k = 0; k < 4; k++)
            words[4 * four + k] = Word{{a.at[k], b.at[k], c.at[k], d.at[k]}};
    }
    const int32 begin = begin_of(i, width, along, columns);
    const int32 end = begin_of(i + 1, width, along, columns);
    const int32 top = begin_of(j, height, down, rows), bottom = begin_of(j + 1, height, down, rows);
    const float32 per_row = 1.0f / (float32)height, per_column = 1.0f / (float32)width;
    __syncthreads();
    for (int32 y = top + (int32)threadIdx.x / WARP; y < bottom; y += (int32)blockDim.x / WARP) {
        const int64 row = ((int64)blockIdx.z * rows + y) * columns;
        const float32 weight = position((float32)y, per_row) - (float32)(j - 1);
        int32 x = begin + (int32)threadIdx.x % WARP;
        // counted as a float as well: a conversion costs as much as several products
        for (float32 column = (float32)x; x < end; x += WARP, column += (float32)WARP) {
            const Word word = words[least((int32)frames[row + x], bins - 1)];
            out[row + x] = blend(word, position(column, per_column) - (float32)(i - 1), weight);
        }
    }
}

// One thread a pixel; blocks of a row along x, rows along y.
extern "C" __global__ void interpolate_wide(const uint16* __restrict__ frames,
                                            const uint16* __restrict__ tables,
                                            uint16* __restrict__ out, int32 rows, int32 columns,
                                            int32 height, int32 width, int32 down, int32 along,
                                            int32 bins, int32 stride) {
    const int32 x = (int32)flat_index(), y = blockIdx.y;
    if (x >= columns) return;
    const float32 from_x = position((float32)x, 1.0f / (float32)width);
    const float32 from_y = position((float32)y, 1.0f / (float32)height);
    const int32 i = (int32)floorf(from_x), j = (int32)floorf(from_y);
    const int32 upper = most(j, 0) * along, lower = least(j + 1, down - 1) * along;
    const int32 left = most(i, 0), right = least(i + 1, along - 1);
    const int64 at = ((int64)blockIdx.z * rows + y) * columns + x;
    const uint16* mine = tables + (int64)blockIdx.z * down * along * stride;
    mine += least((int32)frames[at], bins - 1);
    const Pack<uint16, 4> word = {{mine[(int64)(upper + left) * stride],
                                   mine[(int64)(upper + right) * stride],
                                   mine[(int64)(lower + left) * stride],
                                   mine[(int64)(lower + right) * stride]}};
    out[at] = blend(word, from_x - (float32)i, from_y - (float32)j);
}
