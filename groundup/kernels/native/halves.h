// Products of bfloat16 with bfloat16 for processors that have them: tiles (AMX) or pairs (AVX-512).
//
//   out[r][n] = sum of x[r][k] * w[n][k]      steps of 32 inputs, ascending; float32 sums
//
// Rows are rounded to bfloat16. A step is one instruction of a tile, or 16 of pairs, whose order is
// the processor's; which of both runs is decided once per process, so a row's bits do not depend on
// its company. Weights lie in panels of 32 outputs, [step][half of the panel][pair][output][2]: a
// tile is 1 KB in one piece. Rows lie in tiles of 16, [step][row][32].

#pragma once

#include "lanes.h"

#include <algorithm>

#if defined(__AVX512BF16__) && defined(__AVX512F__)
#define GROUNDUP_HALVES 1
#include <immintrin.h>
#else
#define GROUNDUP_HALVES 0
#endif

#if defined(__AMX_BF16__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

constexpr int64_t STEP = 32, TILE = 16, HALVES_OF_TILE = STEP * TILE;
constexpr int64_t CACHED_TILES = 1024;  // of weights, 1 KB each, that stay in the second cache for all rows

inline int64_t steps_of(int64_t inputs) { return (inputs + STEP - 1) / STEP; }

// Whether 16-bit weights multiply rows of 16 bits. Intel's pairs are no faster than its float32.
inline bool has_tiles();
inline bool multiplies_halves() {
#if defined(GROUNDUP_PAIRS)  // for a test
    return true;
#elif GROUNDUP_HALVES
    static const bool is_fast = has_tiles() || __builtin_cpu_is("amd");
    return is_fast;
#else
    return false;
#endif
}

// A tile of rows and the panels of a weight, with the place of its sums.
struct Block {
    const uint16_t *x, *w;
    int64_t rows, steps;
    float *out;
    int64_t out_row;

    const uint16_t *panel(int64_t p) const { return w + p * steps * 2 * HALVES_OF_TILE; }
};

#if GROUNDUP_HALVES

// 32 floats as they are rounded.
inline void round_step(const float *from, uint16_t *to) {
    const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + 16), _mm512_loadu_ps(from));
    std::memcpy(to, &both, sizeof both);
}

// A step of an output to its column of a tile.
inline void put_step(const float *from, int64_t column, uint16_t *tile) {
    uint16_t values[STEP];
    round_step(from, values);
    for (int64_t pair = 0; pair < TILE; pair++) std::memcpy(tile + pair * STEP + 2 * column, values + 2 * pair, 4);
}

template <int R, int P>
[[gnu::noinline]] void pair_rows(const Block &b, int64_t row, int64_t panel) {
    __m512 sum[R][P][2];
    repeat<R * P * 2>([&](auto i) GROUNDUP_INLINE { sum[i / 2 / P][i / 2 % P][i % 2] = _mm512_setzero_ps(); });
    for (int64_t step = 0; step < b.steps; step++) {
        const uint16_t *x = b.x + (step * b.rows + row) * STEP;
        for (int64_t pair = 0; pair < TILE; pair++)
            repeat<P * 2>([&](auto i) GROUNDUP_INLINE {
                const void *at = b.panel(panel + i / 2) + ((step * 2 + i % 2) * TILE + pair) * STEP;
                const __m512bh weights = (__m512bh)_mm512_loadu_si512(at);
                repeat<R>([&](auto r) GROUNDUP_INLINE {
                    int32_t both;
                    std::memcpy(&both, x + r * STEP + 2 * pair, sizeof both);
                    __m512 &to = sum[r][i / 2][i % 2];
                    to = _mm512_dpbf16_ps(to, (__m512bh)_mm512_set1_epi32(both), weights);
                });
            });
    }
    repeat<R * P * 2>([&](auto i) GROUNDUP_INLINE {
        _mm512_storeu_ps(b.out + (row + i / 2 / P) * b.out_row + (panel + i / 2 % P) * 2 * TILE + i % 2 * TILE,
                         sum[i / 2 / P][i / 2 % P][i % 2]);
    });
}

template <int R>
void pair_rows_of(const Block &b, int64_t row, int64_t count, int64_t first, int64_t end) {
    if (count < R) {
        if constexpr (R > 1) pair_rows_of<R - 1>(b, row, count, first, end);
        return;
    }
    constexpr int P = R == 1 ? 4 : R < 4 ? 2 : 1;
    for (; first + P <= end; first += P) pair_rows<R, P>(b, row, first);
    for (; first < end; first++) pair_rows<R, 1>(b, row, first);
}

// The panels first..end of a tile's rows, in two parts that fit the registers.
inline void multiply_pairs(const Block &b, int64_t first, int64_t end) {
    const int64_t upper = b.rows > 8 ? b.rows / 2 : b.rows;
    pair_rows_of<8>(b, 0, upper, first, end);
    if (upper < b.rows) pair_rows_of<8>(b, upper, b.rows - upper, first, end);
}

#endif

#if GROUNDUP_HALVES && defined(__AMX_BF16__) && defined(__linux__)

// The system gives tiles to a process that asks.
inline bool has_tiles() {
    constexpr long REQUEST = 0x1023, TILE_DATA = 18;
    static const bool is_given = syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
    return is_given;
}

// GCC's own are macros that do not say what memory they touch.
template <int T> inline void clear() { asm volatile("tilezero %%tmm%c0" ::"i"(T)); }
template <int T> inline void load(const void *from) { asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(64L), "i"(T) : "memory"); }
template <int T> inline void store(float *to, int64_t row) { asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(4 * row), "i"(T) : "memory"); }
template <int SUM, int X, int W> inline void add() { asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUM), "i"(X), "i"(W)); }

struct alignas(64) TileShapes {
    uint8_t palette = 1, start = 0, unused[14] = {};
    uint16_t bytes[16] = {};
    uint8_t rows[16] = {};
};

// Shapes of the tiles while this lives: 0 to 3 sums, 4 and 5 rows, 6 and 7 weights.
class Tiles {
    TileShapes before;

  public:
    explicit Tiles(int64_t rows) {
        asm volatile("sttilecfg %0" : "=m"(before));
        TileShapes own;
        for (int tile = 0; tile < 8; tile++) own.bytes[tile] = 64, own.rows[tile] = static_cast<uint8_t>(tile < 6 ? rows : TILE);
        asm volatile("ldtilecfg %0" ::"m"(own));
    }
    ~Tiles() {  // torch's products may rely on theirs
        if (before.palette) asm volatile("ldtilecfg %0" ::"m"(before));
        else asm volatile("tilerelease");
    }
    Tiles(const Tiles &) = delete;
};

// Tiles are read too fast for what the processor fetches by itself.
constexpr int64_t AHEAD = 4 * HALVES_OF_TILE;
inline void fetch_tile(const uint16_t *w) {
    for (int64_t line = 0; line < TILE; line++) __builtin_prefetch(w + AHEAD + line * STEP);
}

// One tile of rows, one panel or two.
template <bool TWO>
inline void tile_by_panels(const Block &b, int64_t panel, float *out, int64_t out_row) {
    const uint16_t *w = b.panel(panel), *next = b.panel(panel + TWO), *x = b.x;
    clear<0>(), clear<1>(), clear<2>(), clear<3>();
    for (int64_t step = 0; step < b.steps; step++, x += b.rows * STEP) {
        load<4>(x);
        fetch_tile(w);
        load<6>(w);
        add<0, 4, 6>();
        fetch_tile(w + HALVES_OF_TILE);
        load<7>(w + HALVES_OF_TILE);
        add<1, 4, 7>();
        w += 2 * HALVES_OF_TILE;
        if constexpr (!TWO) continue;
        fetch_tile(next);
        load<6>(next);
        add<2, 4, 6>();
        fetch_tile(next + HALVES_OF_TILE);
        load<7>(next + HALVES_OF_TILE);
        add<3, 4, 7>();
        next += 2 * HALVES_OF_TILE;
    }
    store<0>(out, out_row), store<1>(out + TILE, out_row);
    if constexpr (TWO) store<2>(out + 2 * TILE, out_row), store<3>(out + 3 * TILE, out_row);
}

// Two tiles of rows, one panel.
inline void tiles_by_panel(const Block &b, const Block &below, int64_t panel, float *lower_out, int64_t lower_row) {
    const uint16_t *w = b.panel(panel), *x = b.x, *lower = below.x;
    clear<0>(), clear<1>(), clear<2>(), clear<3>();
    for (int64_t step = 0; step < b.steps; step++, w += 2 * HALVES_OF_TILE, x += HALVES_OF_TILE, lower += below.rows * STEP) {
        load<6>(w);
        load<4>(x);
        add<0, 4, 6>();
        load<7>(w + HALVES_OF_TILE);
        add<1, 4, 7>();
        load<5>(lower);
        add<2, 5, 6>();
        add<3, 5, 7>();
    }
    float *out = b.out + panel * 2 * TILE;
    store<0>(out, b.out_row), store<1>(out + TILE, b.out_row);
    store<2>(lower_out, lower_row), store<3>(lower_out + TILE, lower_row);
}

// Tiles of rows by panels; `at` gives a tile. What a last tile reads beyond its rows is not kept.
template <class At>
void multiply_tiles(int64_t rows, int64_t first, int64_t end, At at) {
    constexpr int64_t WIDE = 2 * TILE;
    const Tiles shapes(std::min(rows, TILE));
    const int64_t tiles = (rows + TILE - 1) / TILE, block = std::max<int64_t>(1, CACHED_TILES / 2 / at(0).steps);
    if (tiles == 1) {
        const Block b = at(0);
        int64_t panel = first;
        for (; panel + 2 <= end; panel += 2) tile_by_panels<true>(b, panel, b.out + panel * WIDE, b.out_row);
        if (panel < end) tile_by_panels<false>(b, panel, b.out + panel * WIDE, b.out_row);
        return;
    }
    alignas(64) float spare[TILE * WIDE];
    for (int64_t start = first; start < end; start += block)
        for (int64_t tile = 0; tile < tiles; tile += 2)
            for (int64_t panel = start; panel < std::min(start + block, end); panel++) {
                const bool is_pair = tile + 1 < tiles;
                const Block b = at(tile), last = at(tile + is_pair);
                float *out = last.out + panel * WIDE;
                const bool is_short = last.rows < TILE;
                float *to = is_short ? spare : out;
                const int64_t to_row = is_short ? WIDE : last.out_row;
                if (is_pair) tiles_by_panel(b, last, panel, to, to_row);
                else tile_by_panels<false>(last, panel, to, to_row);
                for (int64_t r = 0; is_short && r < last.rows; r++)
                    std::memcpy(out + r * last.out_row, spare + r * WIDE, WIDE * sizeof *out);
            }
}

#else

inline bool has_tiles() { return false; }

template <class At>
void multiply_tiles(int64_t, int64_t, int64_t, At) {}

#endif

#if GROUNDUP_HALVES

// out[r][n] of the panels first..end for all rows.
template <class At>
void multiply_halves(int64_t rows, int64_t first, int64_t end, At at) {
    if (has_tiles()) return multiply_tiles(rows, first, end, at);
    const int64_t tiles = (rows + TILE - 1) / TILE, block = tiles > 1 ? 1 : end - first;
    for (int64_t panel = first; panel < end; panel += block)
        for (int64_t tile = 0; tile < tiles; tile++) multiply_pairs(at(tile), panel, std::min(panel + block, end));
}

#endif

}  // namespace
