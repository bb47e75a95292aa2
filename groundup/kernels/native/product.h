// Products of rows with packed weights, whose sums have one order whatever runs beside them.
//
//   out[r][n] = sum_k x[r][k] * w[n][k]        k ascending, one fused multiply-add at a time
//
// Outputs occupy the lanes, so a sum never crosses lanes and no tile, thread or number of rows changes
// its order: a row alone has the bits that it has among a thousand. Weights are packed in panels of
// PANEL outputs, which are read once, front to back; rows are packed in tiles of MOST_ROWS.
//
// Integers: rows are rounded to bytes by groups of GROUP inputs, each with a scale; sums within a
// group are exact, and are scaled and added as floats group by group, again in one order.

#pragma once

#include "halves.h"
#include "lanes.h"

#include <algorithm>
#include <cmath>

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

constexpr int PANEL = 2 * LANES;
#if defined(__AVX512F__) || defined(__aarch64__)  // 32 registers
constexpr int MOST_ROWS = 12;
#else
constexpr int MOST_ROWS = 6;
#endif
constexpr int64_t GROUP = 32;

enum Format : int64_t { FLOAT32 = 0, BFLOAT16 = 1, INT8 = 2, INT4 = 3 };

typedef float LooseLanes __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t LooseWhole __attribute__((vector_size(4 * LANES), aligned(4)));

inline Lanes load(const float *from) { return *reinterpret_cast<const LooseLanes *>(from); }
inline void store(float *to, Lanes x) { *reinterpret_cast<LooseLanes *>(to) = x; }
inline Whole load_whole(const void *from) { return *static_cast<const LooseWhole *>(from); }

inline Lanes spread(const float *from) {
#if defined(__AVX512F__)
    return _mm512_set1_ps(*from);
#elif defined(__AVX__)
    return _mm256_broadcast_ss(from);
#else
    return all(*from);
#endif
}

inline Whole spread_whole(const void *from) {
    int32_t value;
    std::memcpy(&value, from, sizeof value);
    return Whole{} + value;
}

inline Lanes to_float(Whole x) { return __builtin_convertvector(x, Lanes); }

// LANES signed bytes as floats.
inline Lanes widen(const int8_t *from) {
#if defined(__AVX512F__)
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from))));
#elif defined(__AVX2__)
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(from))));
#elif defined(__aarch64__)
    int32_t four;
    std::memcpy(&four, from, sizeof four);
    const int16x8_t halves = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return reinterpret_cast<Lanes>(vcvtq_f32_s32(vmovl_s16(vget_low_s16(halves))));
#else
    Lanes wide;
    for (int i = 0; i < LANES; i++) wide[i] = from[i];
    return wide;
#endif
}

// The numbers of one k of a panel: how they are read as two vectors, and how one is written.
struct Floats {
    using Unit = float;
    static constexpr int UNITS = PANEL;
    static void read(const Unit *at, Lanes &a, Lanes &b) { a = load(at), b = load(at + LANES); }
    static void write(Unit *at, int lane, float value) { at[lane] = value; }
};

// Lane n is the lower half of a word and lane n + LANES the upper: a shift and a mask unpack both.
struct Halves {
    using Unit = uint16_t;
    static constexpr int UNITS = PANEL;
    static void read(const Unit *at, Lanes &a, Lanes &b) {
        const Whole both = load_whole(at), low = both << 16, high = both & static_cast<int32_t>(0xFFFF0000u);
        std::memcpy(&a, &low, sizeof a);
        std::memcpy(&b, &high, sizeof b);
    }
    static Unit rounded(float value) {  // to the nearest, ties to even
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        const bool is_nan = value != value;
        bits = is_nan ? 0x7FC00000u : bits + 0x7FFFu + (bits >> 16 & 1);
        return static_cast<Unit>(bits >> 16);
    }
    static void write(Unit *at, int lane, float value) { at[2 * (lane % LANES) + lane / LANES] = rounded(value); }
};

struct Eighths {
    using Unit = int8_t;
    static constexpr int UNITS = PANEL;
    static void read(const Unit *at, Lanes &a, Lanes &b) { a = widen(at), b = widen(at + LANES); }
    static void write(Unit *at, int lane, float value) { at[lane] = static_cast<Unit>(std::nearbyint(value)); }
};

// out[r][p] of R rows and P panels. Strides in elements: of a row and of a k of x, of a panel and of a
// k of w, of a row of out.
template <class W, int R, int P>
[[gnu::always_inline]] inline void product(const float *x, int64_t x_row, int64_t x_step, const typename W::Unit *w, int64_t apart,
                    int64_t step, int64_t inputs, float *out, int64_t out_row, bool adds) {
    Lanes sum[R][P][2];
    repeat<R * P>([&](auto i) GROUNDUP_INLINE {
        const float *to = out + i / P * out_row + i % P * PANEL;
        sum[i / P][i % P][0] = adds ? load(to) : Lanes{}, sum[i / P][i % P][1] = adds ? load(to + LANES) : Lanes{};
    });
    for (int64_t k = 0; k < inputs; k++) {
        const float *row = x + k * x_step;
        const typename W::Unit *weights = w + k * step;
        repeat<P>([&](auto p) GROUNDUP_INLINE {
            Lanes a, b;
            W::read(weights + p * apart, a, b);
            repeat<R>([&](auto r) GROUNDUP_INLINE {
                const Lanes factor = spread(row + r * x_row);
                sum[r][p][0] += factor * a;
                sum[r][p][1] += factor * b;
            });
        });
    }
    repeat<R * P>([&](auto i) GROUNDUP_INLINE {
        float *to = out + i / P * out_row + i % P * PANEL;
        store(to, sum[i / P][i % P][0]), store(to + LANES, sum[i / P][i % P][1]);
    });
}

// Sums of four products of bytes in each lane.
#if defined(__AVX512VNNI__) && defined(__AVX512F__)
constexpr bool IS_OFFSET = true;  // weights are stored plus 128, as the instruction wants them unsigned
inline Whole dot(Whole w, Whole x, Whole sum) {
    return reinterpret_cast<Whole>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(w),
                                                       reinterpret_cast<__m512i>(x)));
}
inline Whole add_nibbles(Whole w, Whole x, Whole sum) { return dot(w, x, sum); }
inline Whole nibble_total(Whole sum) { return sum; }
#elif defined(__AVX2__) && !defined(__AVX512F__)
constexpr bool IS_OFFSET = false;
inline Whole dot(Whole w, Whole x, Whole sum) {
    const __m256i a = reinterpret_cast<__m256i>(w), b = reinterpret_cast<__m256i>(x);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
    return sum + reinterpret_cast<Whole>(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
// Sums of pairs in 16 bits: eight of them, those of a group, are at most 8 * 2 * 15 * 127.
inline Whole add_nibbles(Whole w, Whole x, Whole sum) {
    const __m256i pairs = _mm256_maddubs_epi16(reinterpret_cast<__m256i>(w), reinterpret_cast<__m256i>(x));
    return reinterpret_cast<Whole>(_mm256_add_epi16(reinterpret_cast<__m256i>(sum), pairs));
}
inline Whole nibble_total(Whole sum) {
    return reinterpret_cast<Whole>(_mm256_madd_epi16(reinterpret_cast<__m256i>(sum), _mm256_set1_epi16(1)));
}
#elif defined(__ARM_FEATURE_DOTPROD)
constexpr bool IS_OFFSET = false;
inline Whole dot(Whole w, Whole x, Whole sum) {
    return reinterpret_cast<Whole>(vdotq_s32(reinterpret_cast<int32x4_t>(sum), reinterpret_cast<int8x16_t>(w),
                                             reinterpret_cast<int8x16_t>(x)));
}
inline Whole add_nibbles(Whole w, Whole x, Whole sum) { return dot(w, x, sum); }
inline Whole nibble_total(Whole sum) { return sum; }
#else
constexpr bool IS_OFFSET = false;
inline Whole dot(Whole w, Whole x, Whole sum) {
    for (int shift = 0; shift < 32; shift += 8) sum += (w << (24 - shift) >> 24) * (x << (24 - shift) >> 24);
    return sum;
}
inline Whole add_nibbles(Whole w, Whole x, Whole sum) { return dot(w, x, sum); }
inline Whole nibble_total(Whole sum) { return sum; }
#endif

// Integer products: w holds four k of a lane in a word (INT8), or eight, the first four in the lower
// nibbles plus 8 (INT4). The scales of a row's groups and of a panel's lie `R` and PANEL apart.
template <int BITS, int R, int P>
[[gnu::always_inline]] inline void integer_product(const int8_t *x, const float *x_scales, const float *x_sums, const int8_t *w,
                            const float *w_scales, int64_t apart, int64_t scales_apart, int64_t inputs,
                            int64_t weight_group, float *out, int64_t out_row) {
    constexpr float OFFSET = BITS == 4 ? 8.0f : IS_OFFSET ? 128.0f : 0.0f;
    constexpr int64_t BYTES = GROUP * PANEL * BITS / 8;  // of a group of a panel
    const Whole nibble = Whole{} + 0x0F0F0F0F;
    Lanes total[R][P][2] = {};
    const int64_t groups = inputs / GROUP, together = weight_group / GROUP;  // groups that share a scale
    const float *scales = w_scales - PANEL;
    for (int64_t group = 0, left = 0; group < groups; group++, left--) {
        if (left == 0) scales += PANEL, left = together;
        const int8_t *row = x + group * GROUP * R;
        const float *own = x_scales + group * R;
        repeat<P * 2>([&](auto i) GROUNDUP_INLINE {
            constexpr int p = i / 2, half = i % 2;
            const int8_t *weights = w + p * apart + group * BYTES + half * LANES * 4;
            Whole sum[R] = {};
            repeat<GROUP * BITS / 32>([&](auto at) GROUNDUP_INLINE {
                const Whole packed = load_whole(weights + at * PANEL * 4);
                repeat<R>([&](auto r) GROUNDUP_INLINE {
                    if constexpr (BITS == 8) {
                        sum[r] = dot(packed, spread_whole(row + (at * R + r) * 4), sum[r]);
                    } else {
                        sum[r] = add_nibbles(packed & nibble, spread_whole(row + (2 * at * R + r) * 4), sum[r]);
                        sum[r] = add_nibbles(packed >> 4 & nibble, spread_whole(row + ((2 * at + 1) * R + r) * 4), sum[r]);
                    }
                });
            });
            const Lanes scale = load(scales + p * scales_apart + half * LANES);
            repeat<R>([&](auto r) GROUNDUP_INLINE {
                Lanes exact = to_float(BITS == 4 ? nibble_total(sum[r]) : sum[r]);
                if constexpr (OFFSET > 0) exact -= all(OFFSET * x_sums[group * R + r]);
                total[r][p][half] += exact * (scale * spread(own + r));
            });
        });
    }
    repeat<R * P>([&](auto i) GROUNDUP_INLINE {
        float *to = out + i / P * out_row + i % P * PANEL;
        store(to, total[i / P][i % P][0]), store(to + LANES, total[i / P][i % P][1]);
    });
}

}  // namespace

struct Matrix {
    const void *weights;  // packed, see `pack` in stack.cpp
    const float *scales, *bias;
    int64_t inputs, outputs, format, group;  // group: inputs of one scale
};

namespace {

// Up to 32 inputs, filled up with zeros.
inline void halve(const float *from, int64_t count, uint16_t *to) {
    if (count == STEP) return round_step(from, to);
    float all[STEP] = {};
    std::copy(from, from + count, all);
    round_step(all, to);
}

// Rows of a product in tiles of MOST_ROWS: floats [k][row], or bytes [k / 4][row][4] with a scale and a
// sum for each group and row; or halves, as halves.h has them.
struct Inputs {
    float *floats, *scales, *sums;
    int8_t *bytes;
    uint16_t *halves;
    int64_t rows, width;
    bool is_integer, is_halved;

    // Floats of memory for rows of a weight. Up to 16 rows are read where fewer are halved.
    static int64_t size(int64_t rows, const Matrix &m) {
        return rows * (steps_of(m.inputs) * STEP + 2 * (m.inputs / GROUP + 1)) + HALVES_OF_TILE / 2;
    }

    Inputs() = default;
    Inputs(int64_t count, const Matrix &m, float *room) : rows(count), width(m.inputs), is_integer(m.format >= INT8) {
        is_halved = m.format == BFLOAT16 && multiplies_halves();
        floats = room, bytes = reinterpret_cast<int8_t *>(room), halves = reinterpret_cast<uint16_t *>(room);
        scales = room + rows * width, sums = scales + rows * (width / GROUP + 1);
    }

    int64_t rows_of(int64_t tile) const { return std::min<int64_t>(MOST_ROWS, rows - tile * MOST_ROWS); }

    Block block_of(int64_t tile, const void *weights, float *out, int64_t out_row) const {
        const int64_t steps = steps_of(width);
        return {halves + tile * TILE * steps * STEP, static_cast<const uint16_t *>(weights), std::min(TILE, rows - tile * TILE),
                steps, out + tile * TILE * out_row, out_row};
    }

    // Writes the inputs first..end of a row, complete groups; `from` is the first of them.
    void put(int64_t r, const float *from, int64_t first, int64_t end) {
        if (is_halved) return put_halves(r, from, first, end);
        const int64_t tile = r / MOST_ROWS, R = rows_of(tile), at = r % MOST_ROWS, base = tile * MOST_ROWS;
        if (!is_integer) {
            float *to = floats + base * width + at;
            for (int64_t k = first; k < end; k++) to[k * R] = from[k - first];
            return;
        }
        for (int64_t g = first / GROUP; g * GROUP < end; g++) put_group(g, R, base, at, from + g * GROUP - first);
    }

    // A step is a row.
    void put_step(int64_t r, const float *from) { round_step(from, halves + r * STEP); }

    void put_halves(int64_t r, const float *from, int64_t first, int64_t end) {
        const Block to = block_of(r / TILE, nullptr, nullptr, 0);
        auto *row = const_cast<uint16_t *>(to.x) + r % TILE * STEP;
        for (int64_t step = first / STEP; step * STEP < end; step++)
            halve(from + step * STEP - first, std::min(STEP, end - step * STEP), row + step * to.rows * STEP);
    }

    void put_group(int64_t g, int64_t R, int64_t base, int64_t at, const float *from) {
        float most = 0, check = 0;
        for (int64_t k = 0; k < GROUP; k++) {
            most = std::max(most, std::fabs(from[k]));
            check += from[k] * 0.0f;  // NaN if a number is not finite, which the scale carries on
        }
        const bool is_finite = check == 0;
        const float scale = most / 127.0f, inverse = most > 0 && is_finite ? 127.0f / most : 0.0f;
        int8_t *to = bytes + base * width + g * GROUP * R + at * 4;
        int32_t sum = 0;
        for (int64_t k = 0; k < GROUP; k++) {
            const int32_t value = static_cast<int32_t>(is_finite ? std::nearbyint(from[k] * inverse) : 0.0f);
            to[k / 4 * R * 4 + k % 4] = static_cast<int8_t>(value);
            sum += value;
        }
        const int64_t place = (base * (width / GROUP)) + g * R + at;
        scales[place] = is_finite ? scale : check;
        sums[place] = static_cast<float>(sum);
    }
};

// Not inlined: a loop that is compiled by itself keeps its sums in registers.
template <class W, int R, int P>
[[gnu::noinline]] void float_tile(const Matrix &m, const Inputs &in, int64_t tile, int64_t panel, float *out, int64_t out_row) {
    const int64_t size = m.inputs * W::UNITS;
    product<W, R, P>(in.floats + tile * MOST_ROWS * m.inputs, 1, R, static_cast<const typename W::Unit *>(m.weights) + panel * size,
                     size, W::UNITS, m.inputs, out, out_row, false);
}

template <int BITS, int R, int P>
[[gnu::noinline]] void integer_tile(const Matrix &m, const Inputs &in, int64_t tile, int64_t panel, float *out, int64_t out_row) {
    const int64_t size = m.inputs * PANEL * BITS / 8, scales = m.inputs / m.group * PANEL;
    const int64_t groups = tile * MOST_ROWS * (m.inputs / GROUP);
    integer_product<BITS, R, P>(in.bytes + tile * MOST_ROWS * m.inputs, in.scales + groups, in.sums + groups,
                                static_cast<const int8_t *>(m.weights) + panel * size, m.scales + panel * scales, size, scales,
                                m.inputs, m.group, out, out_row);
}

template <int R, int P>
void tile_product(const Matrix &m, const Inputs &in, int64_t tile, int64_t panel, float *out, int64_t out_row) {
    switch (m.format) {
        case FLOAT32: return float_tile<Floats, R, P>(m, in, tile, panel, out, out_row);
        case BFLOAT16: return float_tile<Halves, R, P>(m, in, tile, panel, out, out_row);
        case INT8: return integer_tile<8, R, P>(m, in, tile, panel, out, out_row);
        default: return integer_tile<4, R, P>(m, in, tile, panel, out, out_row);
    }
}

// A tile of R rows over `panels` panels; few rows take several at once, as a sum must await its last.
template <int R>
void tile_products(const Matrix &m, const Inputs &in, int64_t tile, int64_t first, int64_t end, float *out, int64_t out_row) {
    constexpr int P = R == 1 ? 4 : R < 4 ? 2 : 1;
    int64_t panel = first;
    for (; panel + P <= end; panel += P) tile_product<R, P>(m, in, tile, panel, out + panel * PANEL, out_row);
    if constexpr (P > 1)
        for (; panel < end; panel++) tile_product<R, 1>(m, in, tile, panel, out + panel * PANEL, out_row);
}

template <int R>
void tile_products_of(int64_t rows, const Matrix &m, const Inputs &in, int64_t tile, int64_t first, int64_t end, float *out,
                      int64_t out_row) {
    if (rows == R) return tile_products<R>(m, in, tile, first, end, out, out_row);
    if constexpr (R > 1) tile_products_of<R - 1>(rows, m, in, tile, first, end, out, out_row);
}

// out = x W^T + bias for the panels first..end; `block` panels stay in the cache for all tiles of rows.
void multiply(const Matrix &m, const Inputs &in, int64_t first, int64_t end, float *out, int64_t out_row) {
    const int64_t tiles = (in.rows + MOST_ROWS - 1) / MOST_ROWS, block = tiles > 1 ? 1 : end - first;
    if (in.is_halved) multiply_halves<false>(in.rows, first, end, [&](int64_t tile) { return in.block_of(tile, m.weights, out, out_row); });
    for (int64_t panel = first; panel < end && !in.is_halved; panel += block)
        for (int64_t tile = 0; tile < tiles; tile++)
            tile_products_of<MOST_ROWS>(in.rows_of(tile), m, in, tile, panel, std::min(panel + block, end),
                                        out + tile * MOST_ROWS * out_row, out_row);
    if (m.bias)
        for (int64_t r = 0; r < in.rows; r++)
            for (int64_t n = first * PANEL; n < end * PANEL; n += LANES) {
                float *at = out + r * out_row + n;
                store(at, load(at) + load(m.bias + n));  // the bias is padded as the outputs are
            }
}

}  // namespace
