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

// Whether 16-bit weights multiply rows of 16 bits. Intel's pairs read prompts at .65 of its float32's speed.
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

// A step of an output to its column of a tile.
inline void put_step(const uint16_t *values, int64_t column, uint16_t *tile) {
    for (int64_t pair = 0; pair < TILE; pair++) std::memcpy(tile + pair * STEP + 2 * column, values + 2 * pair, 4);
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

template <bool ADDS, int R, int P>
[[gnu::noinline]] void pair_rows(const Block &b, int64_t row, int64_t panel) {
    __m512 sum[R][P][2];
    float *out = b.out + row * b.out_row + panel * 2 * TILE;
    const auto place = [&](auto i) GROUNDUP_INLINE { return out + i / 2 / P * b.out_row + i / 2 % P * 2 * TILE + i % 2 * TILE; };
    repeat<R * P * 2>([&](auto i) GROUNDUP_INLINE {
        sum[i / 2 / P][i / 2 % P][i % 2] = ADDS ? _mm512_loadu_ps(place(i)) : _mm512_setzero_ps();
    });
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
    repeat<R * P * 2>([&](auto i) GROUNDUP_INLINE { _mm512_storeu_ps(place(i), sum[i / 2 / P][i / 2 % P][i % 2]); });
}

template <bool ADDS, int R>
void pair_rows_of(const Block &b, int64_t row, int64_t count, int64_t first, int64_t end) {
    if (count < R) {
        if constexpr (R > 1) pair_rows_of<ADDS, R - 1>(b, row, count, first, end);
        return;
    }
    constexpr int P = R == 1 ? 4 : R < 4 ? 2 : 1;
    for (; first + P <= end; first += P) pair_rows<ADDS, R, P>(b, row, first);
    for (; first < end; first++) pair_rows<ADDS, R, 1>(b, row, first);
}

// The panels first..end of a tile's rows, in two parts that fit the registers.
template <bool ADDS>
void multiply_pairs(const Block &b, int64_t first, int64_t end) {
    const int64_t upper = b.rows > 8 ? b.rows / 2 : b.rows;
    pair_rows_of<ADDS, 8>(b, 0, upper, first, end);
    if (upper < b.rows) pair_rows_of<ADDS, 8>(b, upper, b.rows - upper, first, end);
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
template <int T>
inline void clear() {
    asm volatile("tilezero %%tmm%c0" ::"i"(T));
}
template <int T>
inline void load(const void *from, int64_t stride = 64) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(T) : "memory");
}
template <int T>
inline void store(float *to, int64_t row) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(4 * row), "i"(T) : "memory");
}
template <int SUM, int X, int W>
inline void add() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUM), "i"(X), "i"(W));
}

struct alignas(64) TileShapes {
    uint8_t palette = 1, start = 0, unused[14] = {};
    uint16_t bytes[16] = {};
    uint8_t rows[16] = {};
};

// All tiles are 16 rows of 64 bytes while this lives: 0 to 3 sums, 4 and 5 rows, 6 and 7 weights.
class Tiles {
    TileShapes before;

  public:
    Tiles() {
        if (!has_tiles()) return;
        asm volatile("sttilecfg %0" : "=m"(before));
        TileShapes own;
        for (int tile = 0; tile < 8; tile++) own.bytes[tile] = 64, own.rows[tile] = TILE;
        asm volatile("ldtilecfg %0" ::"m"(own));
    }
    ~Tiles() {  // torch's products may rely on theirs
        if (!has_tiles()) return;
        if (before.palette) asm volatile("ldtilecfg %0" ::"m"(before));
        else asm volatile("tilerelease");
    }
    Tiles(const Tiles &) = delete;
};

// Adds the products of the rows in tile X with a tile of weights. Tiles that are read once are read faster
// than the processor fetches by itself: without asking ahead, .8 of the bandwidth.
template <int SUM, int X, int W, bool FETCHES>
inline void add_tile(const uint16_t *w) {
    if constexpr (FETCHES)
        for (int64_t line = 0; line < TILE; line++) __builtin_prefetch(w + 4 * HALVES_OF_TILE + line * STEP);
    load<W>(w);
    add<SUM, X, W>();
}

// Two sums beside each other at the beginning and the end.
template <int FIRST, bool ADDS>
inline void open_sums(const float *from, int64_t row) {
    if constexpr (ADDS) load<FIRST>(from, 4 * row), load<FIRST + 1>(from + TILE, 4 * row);
    else clear<FIRST>(), clear<FIRST + 1>();
}

// The sums of a last tile go through memory of their own, since it has 16 rows too.
template <int FIRST>
inline void close_sums(int64_t rows, float *out, int64_t row) {
    if (rows == TILE) return store<FIRST>(out, row), store<FIRST + 1>(out + TILE, row);
    alignas(64) float spare[TILE * 2 * TILE];
    store<FIRST>(spare, 2 * TILE), store<FIRST + 1>(spare + TILE, 2 * TILE);
    for (int64_t r = 0; r < rows; r++) std::memcpy(out + r * row, spare + r * 2 * TILE, 2 * TILE * sizeof *out);
}

// One tile of rows, one panel or two.
template <bool ADDS, bool TWO>
inline void tile_by_panels(const Block &b, int64_t panel) {
    const uint16_t *w = b.panel(panel), *next = b.panel(panel + TWO), *x = b.x;
    float *out = b.out + panel * 2 * TILE;
    open_sums<0, ADDS>(out, b.out_row);
    if constexpr (TWO) open_sums<2, ADDS>(out + 2 * TILE, b.out_row);
    for (int64_t step = 0; step < b.steps; step++, x += b.rows * STEP) {
        load<4>(x);
        add_tile<0, 4, 6, true>(w), add_tile<1, 4, 7, true>(w + HALVES_OF_TILE);
        w += 2 * HALVES_OF_TILE;
        if constexpr (!TWO) continue;
        add_tile<2, 4, 6, true>(next), add_tile<3, 4, 7, true>(next + HALVES_OF_TILE);
        next += 2 * HALVES_OF_TILE;
    }
    close_sums<0>(b.rows, out, b.out_row);
    if constexpr (TWO) close_sums<2>(b.rows, out + 2 * TILE, b.out_row);
}

// Two tiles of rows, one panel.
template <bool ADDS, bool FETCHES>
inline void tiles_by_panel(const Block &b, const Block &below, int64_t panel) {
    const uint16_t *w = b.panel(panel), *x = b.x, *lower = below.x;
    float *out = b.out + panel * 2 * TILE, *lower_out = below.out + panel * 2 * TILE;
    open_sums<0, ADDS>(out, b.out_row), open_sums<2, ADDS>(lower_out, b.out_row);
    for (int64_t step = 0; step < b.steps; step++, w += 2 * HALVES_OF_TILE, x += HALVES_OF_TILE, lower += below.rows * STEP) {
        load<4>(x), load<5>(lower);
        add_tile<0, 4, 6, FETCHES>(w), add_tile<1, 4, 7, FETCHES>(w + HALVES_OF_TILE);
        add<2, 5, 6>(), add<3, 5, 7>();
    }
    close_sums<0>(TILE, out, b.out_row), close_sums<2>(below.rows, lower_out, b.out_row);
}

// Tiles of rows by panels; `at` gives a tile, of which more than its rows is read. Panels that fit the
// second cache meet all rows.
template <bool ADDS, class At>
void multiply_tiles(int64_t rows, int64_t first, int64_t end, At at) {
    const int64_t tiles = (rows + TILE - 1) / TILE;
    const int64_t block = tiles == 1 ? end - first : std::max<int64_t>(1, CACHED_TILES / 2 / at(0).steps);
    for (int64_t start = first; start < end; start += block) {
        const int64_t stop = std::min(start + block, end);
        int64_t tile = 0;
        for (; tile + 2 <= tiles; tile += 2)
            for (int64_t panel = start; panel < stop; panel++) {
                if (tile == 0) tiles_by_panel<ADDS, true>(at(0), at(1), panel);
                else tiles_by_panel<ADDS, false>(at(tile), at(tile + 1), panel);
            }
        if (tile == tiles) continue;
        const Block last = at(tile);
        int64_t panel = start;
        for (; panel + 2 <= stop; panel += 2) tile_by_panels<ADDS, true>(last, panel);
        if (panel < stop) tile_by_panels<ADDS, false>(last, panel);
    }
}

#else

inline bool has_tiles() { return false; }
struct Tiles {
    Tiles() {}
};
template <bool ADDS, class At>
void multiply_tiles(int64_t, int64_t, int64_t, At) {}

#endif

#if GROUNDUP_HALVES

// out[r][n] of the panels first..end for all rows, or what is to be added to it.
template <bool ADDS, class At>
void multiply_halves(int64_t rows, int64_t first, int64_t end, At at) {
    if (has_tiles()) return multiply_tiles<ADDS>(rows, first, end, at);
    const int64_t tiles = (rows + TILE - 1) / TILE, block = tiles > 1 ? 1 : end - first;
    for (int64_t panel = first; panel < end; panel += block)
        for (int64_t tile = 0; tile < tiles; tile++) multiply_pairs<ADDS>(at(tile), panel, std::min(panel + block, end));
}

#else

template <bool ADDS, class At>
void multiply_halves(int64_t, int64_t, int64_t, At) {}
inline void round_step(const float *, uint16_t *) {}

#endif

}  // namespace
