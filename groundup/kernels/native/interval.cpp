// Attention over one key interval per query; see interval.py.
//
//   out[t] = sum_s softmax_s(q[t] . k[s] * scale) v[s]        low[t] <= s < high[t]
//
// A tile of queries occupies the lanes of a vector, so the softmax over keys needs no sum across lanes,
// and keys and values are read in place, each number once per tile. Keys hidden from all queries of a
// tile are not read. Long intervals are processed in blocks with the running maximum of Milakov and
// Gimelshein 2018, arXiv:1805.02867. A query without visible keys yields zeros.

#include "lanes.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

namespace {

#if defined(__AVX__) && !defined(__AVX512F__)
constexpr int ROWS = 6;
#else
constexpr int ROWS = 8;
#endif
constexpr int VECTORS = 2, TILE = LANES * VECTORS;
constexpr int64_t BLOCK = 512;
constexpr float NOTHING = -1e30f;

struct Tile {
    Lanes lanes[VECTORS];
};

struct Bounds {
    Whole low[VECTORS], high[VECTORS];
    int64_t first = INT64_MAX, end = 0;
};

// sums[r] += sum_i a[r * across + i * along] * b[i]
template <int COUNT>
inline void product(const float *a, int64_t across, int64_t along, int64_t n, const Tile *b, Tile *sums) {
    Lanes sum[COUNT][VECTORS];
    for (int r = 0; r < COUNT; r++)
        for (int w = 0; w < VECTORS; w++) sum[r][w] = sums[r].lanes[w];
    for (int64_t i = 0; i < n; i++)
        for (int r = 0; r < COUNT; r++) {
            Lanes factor = all(a[r * across + i * along]);
            for (int w = 0; w < VECTORS; w++) sum[r][w] += factor * b[i].lanes[w];
        }
    for (int r = 0; r < COUNT; r++)
        for (int w = 0; w < VECTORS; w++) sums[r].lanes[w] = sum[r][w];
}

inline void products(const float *a, int64_t count, int64_t across, int64_t along, int64_t n, const Tile *b, Tile *sums) {
    int64_t r = 0;
    for (; r + ROWS <= count; r += ROWS) product<ROWS>(a + r * across, across, along, n, b, sums + r);
    for (; r < count; r++) product<1>(a + r * across, across, along, n, b, sums + r);
}

}  // namespace

struct Rows {
    float *data;
    int64_t row, head, token;  // strides in elements
};

struct Work {
    Rows q, k, v, out;
    const int32_t *low, *high;
    int64_t rows, heads, key_heads, queries, width, value_width;
    int64_t row_bounds;  // stride of the bounds by row; 0 if shared
    float scale;
};

namespace {

struct Room {
    std::vector<Tile> query, scores, out;
    explicit Room(const Work &work) : query(work.width), scores(BLOCK), out(work.value_width) {}
};

Bounds bounds_of(const Work &work, int64_t row, int64_t start, int64_t count) {
    Bounds found;
    const int64_t from = row * work.row_bounds + start;
    for (int lane = 0; lane < TILE; lane++) {
        const bool is_real = lane < count;
        const int32_t low = is_real ? work.low[from + lane] : 0, high = is_real ? work.high[from + lane] : 0;
        found.low[lane / LANES][lane % LANES] = low;
        found.high[lane / LANES][lane % LANES] = high;
        if (low < high) {
            found.first = std::min<int64_t>(found.first, low);
            found.end = std::max<int64_t>(found.end, high);
        }
    }
    return found;
}

// Turn scores into weights, and rescale the previous sums to the new maximum.
void soften(Room &room, const Bounds &seen, int64_t first, int64_t count, float scale, Tile &most, Tile &total) {
    for (int w = 0; w < VECTORS; w++) {
        Lanes highest = most.lanes[w];
        for (int64_t s = 0; s < count; s++) {
            const Whole place = Whole{} + static_cast<int32_t>(first + s);
            const Lanes score = room.scores[s].lanes[w] * scale;
            room.scores[s].lanes[w] = (place >= seen.low[w]) & (place < seen.high[w]) ? score : all(2 * NOTHING);
            highest = larger(highest, room.scores[s].lanes[w]);
        }
        const Lanes kept = exponential(most.lanes[w] - highest);
        Lanes sum = total.lanes[w] * kept;
        for (int64_t s = 0; s < count; s++) {
            room.scores[s].lanes[w] = exponential(room.scores[s].lanes[w] - highest);
            sum += room.scores[s].lanes[w];
        }
        for (Tile &each : room.out) each.lanes[w] *= kept;
        most.lanes[w] = highest;
        total.lanes[w] = sum;
    }
}

void attend(const Work &work, Room &room, int64_t row, int64_t head, int64_t start) {
    const int64_t count = std::min<int64_t>(TILE, work.queries - start);
    const int64_t key_head = head * work.key_heads / work.heads;
    const float *q = work.q.data + row * work.q.row + head * work.q.head + start * work.q.token;
    const float *k = work.k.data + row * work.k.row + key_head * work.k.head;
    const float *v = work.v.data + row * work.v.row + key_head * work.v.head;
    for (int64_t i = 0; i < work.width; i++) room.query[i] = Tile{};
    for (int64_t lane = 0; lane < count; lane++)
        for (int64_t i = 0; i < work.width; i++)
            room.query[i].lanes[lane / LANES][lane % LANES] = q[lane * work.q.token + i];
    const Bounds seen = bounds_of(work, row, start, count);
    Tile most, total{};
    for (int w = 0; w < VECTORS; w++) most.lanes[w] = all(NOTHING);
    std::fill(room.out.begin(), room.out.end(), Tile{});
    for (int64_t first = seen.first; first < seen.end; first += BLOCK) {
        const int64_t length = std::min(BLOCK, seen.end - first);
        std::fill(room.scores.begin(), room.scores.begin() + length, Tile{});
        products(k + first * work.k.token, length, work.k.token, 1, work.width, room.query.data(), room.scores.data());
        soften(room, seen, first, length, work.scale, most, total);
        products(v + first * work.v.token, work.value_width, 1, work.v.token, length, room.scores.data(), room.out.data());
    }
    float *out = work.out.data + row * work.out.row + head * work.out.head + start * work.out.token;
    for (int w = 0; w < VECTORS; w++) total.lanes[w] = total.lanes[w] > 0.0f ? 1.0f / total.lanes[w] : Lanes{};
    for (int64_t lane = 0; lane < count; lane++)
        for (int64_t i = 0; i < work.value_width; i++)
            out[lane * work.out.token + i] = room.out[i].lanes[lane / LANES][lane % LANES] * total.lanes[lane / LANES][lane % LANES];
}

}  // namespace

extern "C" void interval_attention(const Work *work, int64_t threads) {
    const int64_t tiles = (work->queries + TILE - 1) / TILE, all_tiles = work->rows * work->heads * tiles;
    std::atomic<int64_t> next{0};
    auto run = [&] {
        Room room(*work);
        for (int64_t i = next++; i < all_tiles; i = next++)
            attend(*work, room, i / tiles / work->heads, i / tiles % work->heads, i % tiles * TILE);
    };
    std::vector<std::thread> others;
    try {
        for (int64_t i = 1; i < std::min(threads, all_tiles); i++) others.emplace_back(run);
    } catch (const std::system_error &) {
        // The tiles are shared by the threads that did start.
    }
    run();
    for (std::thread &each : others) each.join();
}
