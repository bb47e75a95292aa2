// Tokens, shingles and MinHash signatures of UTF-8 texts: the loops of sketch.py, whose numpy
// functions are the reference. Texts are concatenated; text i is data[starts[i] : starts[i + 1]].

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

constexpr uint64_t FACTOR = 0x9E3779B97F4A7C15ull;
constexpr uint32_t SKIP = 0xFFFFFFFFu, ALONE = 0x80000000u;

struct Fold {
    const uint32_t *table;
    int64_t size;
};

inline uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

// Calls found(hash, from, to) for every token, with byte offsets in the text.
template <class Found>
void each_token(const uint8_t *text, int64_t size, const Fold &fold, Found found) {
    uint64_t sum = 0;
    int64_t length = 0, from = 0, to = 0;
    auto finish = [&] {
        if (length) found(mix(sum + (uint64_t)length), from, to);
        sum = 0, length = 0;
    };
    for (int64_t at = 0; at < size;) {
        uint32_t point = text[at];
        int width = point < 0x80 ? 1 : point < 0xE0 ? 2 : point < 0xF0 ? 3 : 4;
        if (at + width > size) width = (int)(size - at), point = 0;  // truncated character
        else if (width == 2) point = (point & 31) << 6 | (text[at + 1] & 63);
        else if (width == 3)
            point = (point & 15) << 12 | (text[at + 1] & 63) << 6 | (text[at + 2] & 63);
        else if (width == 4)
            point = (point & 7) << 18 | (text[at + 1] & 63) << 12 | (text[at + 2] & 63) << 6 |
                    (text[at + 3] & 63);
        uint32_t code = point < fold.size ? fold.table[point] : 0;
        if (code == SKIP) {
            if (length) to = at + width;
        } else if (code & ALONE) {
            finish();
            found(mix(mix(code) + 1), at, at + width);
        } else if (code) {
            if (!length) from = at;
            sum += mix(code + ((uint64_t)length << 32));
            ++length;
            to = at + width;
        } else {
            finish();
        }
        at += width;
    }
    finish();
}

// Calls found(hash) for every n-gram of tokens.
template <class Found>
void each_gram(const std::vector<uint64_t> &tokens, int64_t n, Found found) {
    int64_t size = (int64_t)tokens.size();
    if (size < n) return;
    uint64_t top = 1, sum = 0;
    for (int64_t i = 1; i < n; ++i) top *= FACTOR;
    for (int64_t i = 0; i < size; ++i) {
        if (i >= n) sum -= tokens[i - n] * top;
        sum = sum * FACTOR + tokens[i];
        if (i >= n - 1) found(mix(sum));
    }
}

std::vector<uint64_t> tokens_of(const uint8_t *text, int64_t size, const Fold &fold) {
    std::vector<uint64_t> tokens;
    each_token(text, size, fold, [&](uint64_t hash, int64_t, int64_t) { tokens.push_back(hash); });
    return tokens;
}

}  // namespace

extern "C" {

int64_t tokens(const uint8_t *data, const int64_t *starts, int64_t count, const uint32_t *table,
               int64_t size, uint64_t *hashes, int64_t *from, int64_t *to, int64_t *ends) {
    Fold fold{table, size};
    int64_t found = 0;
    for (int64_t i = 0; i < count; ++i) {
        each_token(data + starts[i], starts[i + 1] - starts[i], fold,
                   [&](uint64_t hash, int64_t first, int64_t last) {
                       hashes[found] = hash, from[found] = first, to[found] = last;
                       ++found;
                   });
        ends[i] = found;
    }
    return found;
}

int64_t sets(const uint8_t *data, const int64_t *starts, int64_t count, const uint32_t *table,
             int64_t size, int64_t n, uint64_t *items, int64_t *ends) {
    Fold fold{table, size};
    int64_t found = 0;
    for (int64_t i = 0; i < count; ++i) {
        uint64_t *first = items + found;
        auto tokens = tokens_of(data + starts[i], starts[i + 1] - starts[i], fold);
        each_gram(tokens, n, [&](uint64_t gram) { items[found++] = gram; });
        std::sort(first, items + found);
        found = std::unique(first, items + found) - items;
        ends[i] = found;
    }
    return found;
}

void signatures(const uint8_t *data, const int64_t *starts, int64_t count, const uint32_t *table,
                int64_t size, int64_t n, const uint32_t *factors, const uint32_t *offsets,
                int64_t hashes, uint32_t *minima, int64_t *grams) {
    Fold fold{table, size};
    for (int64_t i = 0; i < count; ++i) {
        uint32_t *row = minima + i * hashes;
        std::fill(row, row + hashes, 0xFFFFFFFFu);
        auto tokens = tokens_of(data + starts[i], starts[i + 1] - starts[i], fold);
        std::vector<uint32_t> shorts;
        each_gram(tokens, n, [&](uint64_t gram) { shorts.push_back((uint32_t)(gram >> 32)); });
        grams[i] = (int64_t)shorts.size();
        constexpr int64_t LANES = 16;  // permutations whose minima are in registers
        for (int64_t first = 0; first < hashes; first += LANES) {
            uint32_t least[LANES], factor[LANES] = {}, offset[LANES] = {};
            int64_t lanes = std::min(LANES, hashes - first);
            std::copy_n(factors + first, lanes, factor);
            std::copy_n(offsets + first, lanes, offset);
            std::fill_n(least, LANES, 0xFFFFFFFFu);
            for (uint32_t item : shorts)
                for (int64_t lane = 0; lane < LANES; ++lane)
                    least[lane] = std::min(least[lane], item * factor[lane] + offset[lane]);
            std::copy_n(least, lanes, row + first);
        }
    }
}

// Intersection sizes of pairs of sorted distinct rows; sets[i] points to sizes[i] numbers.
void shared(const uint64_t *const *sets, const int64_t *sizes, const int64_t *pairs, int64_t count,
            int64_t *counts) {
    for (int64_t pair = 0; pair < count; ++pair) {
        const uint64_t *a = sets[pairs[2 * pair]], *b = sets[pairs[2 * pair + 1]];
        const uint64_t *a_end = a + sizes[pairs[2 * pair]], *b_end = b + sizes[pairs[2 * pair + 1]];
        int64_t equal = 0;
        while (a < a_end && b < b_end) {
            uint64_t x = *a, y = *b;
            equal += x == y;
            a += x <= y;
            b += y <= x;
        }
        counts[pair] = equal;
    }
}
}
