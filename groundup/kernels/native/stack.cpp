// A decoder's blocks over the tokens of many sequences whose keys and values lie in blocks; see stack.py.
//
// Every stage computes rows that do not depend on each other: norms and rotations a token, products a
// row (product.h), attention a query. A query reads the keys of its sequence by chunks that begin at
// multiples of CHUNK, with the running maximum of Milakov and Gimelshein 2018, arXiv:1805.02867. So a
// token has the same bits alone and in company, in one chunk of its prompt or in several, whichever
// blocks hold its past.

#include "product.h"
#include "team.h"

#include <type_traits>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace {

constexpr int64_t BLOCK = 32, CHUNK = 128, TILE_ROWS = 4 * MOST_ROWS;
constexpr float NOTHING = -1e30f;

}  // namespace

struct Norm {
    const float *weight, *bias;
    int64_t kind;  // 0 none, 1 root mean square, 2 layer
    float eps;
};

struct Layer {
    Norm attention, queries, keys, attention_out, feedforward, feedforward_out;
    Matrix qkv, out, up, down;
    void *key_cache, *value_cache;
    float *key_scales, *value_scales;  // of bytes, one for each token and head
    const float *cosines, *sines;      // (positions, rotated_pairs); null without rotation
    int64_t window;                    // 0: all earlier tokens
};

struct Stack {
    const Layer *layers;
    Norm final_norm;
    Matrix head;
    const float *slopes;  // of each head's distance penalty; null: none
    int64_t num_layers, width, heads, key_heads, head_dim, feed_width;
    int64_t is_gated, activation, is_post_norm, is_parallel, norms_all_heads, cache_format;
    int64_t rotated_pairs, is_interleaved;  // pairs of neighbours, or of the two halves of what is rotated
    float scale, softcap, output_scale, output_softcap, residual_scale;
};

// What the products of a layer gave, with their biases, before norm, rotation and activation.
struct Products {
    float *qkv, *out, *up, *down;  // (tokens, padded outputs)
};

struct Batch {
    float *hidden;              // (tokens, width), overwritten
    const int32_t *starts;      // (sequences + 1), the first token of each sequence
    const int32_t *positions;   // (tokens)
    const int32_t *blocks;      // (sequences, table_width)
    const int32_t *selected;    // (count), ascending: the tokens whose logits are wanted
    float *logits;              // of these (count, padded outputs)
    float *room;                // see `room_size`
    const Products *products;   // of each layer, written for training; null: not wanted
    int64_t tokens, sequences, table_width, count;
};

namespace {

int64_t padded(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
int64_t panels(int64_t outputs) { return padded(outputs, PANEL) / PANEL; }

// A vector's lanes, folded in halves: one order.
template <class F>
inline float fold(Lanes x, F two) {
    alignas(64) float lanes[LANES];
    store(lanes, x);
    repeat<LANES == 16 ? 4 : LANES == 8 ? 3 : 2>([&](auto i) GROUNDUP_INLINE {
        constexpr int half = LANES >> (i + 1);
        for (int lane = 0; lane < half; lane++) lanes[lane] = two(lanes[lane], lanes[lane + half]);
    });
    return lanes[0];
}

inline float total_of(Lanes x) {
    return fold(x, [](float a, float b) { return a + b; });
}

// Sum of a row's function in one order, whatever its length.
template <class F>
float row_sum(int64_t n, F value) {
    Lanes sum{};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) sum += value(i);
    float total = total_of(sum);
    for (; i < n; i++) total += value(i)[0];
    return total;
}

void normalise(const Norm &norm, const float *x, int64_t n, float *out) {
    const auto at = [&](int64_t i) { return i + LANES <= n ? load(x + i) : all(x[i]); };
    if (norm.kind == 0) {
        if (out != x) std::copy(x, x + n, out);
        return;
    }
    float mean = 0;
    if (norm.kind == 2) mean = row_sum(n, at) / static_cast<float>(n);
    const float square = row_sum(n, [&](int64_t i) { return (at(i) - mean) * (at(i) - mean); });
    const float factor = 1.0f / std::sqrt(square / static_cast<float>(n) + norm.eps);
    for (int64_t i = 0; i < n; i++) out[i] = (x[i] - mean) * factor * norm.weight[i] + (norm.bias ? norm.bias[i] : 0.0f);
}

inline Lanes magnitude(Lanes x) { return x < 0.0f ? -x : x; }

inline Lanes sigmoid(Lanes x) {
    const Lanes e = exponential(-magnitude(x));
    return (x < 0.0f ? e : all(1.0f)) / (e + 1.0f);
}

inline Lanes hyperbolic_tangent(Lanes x) { return sigmoid(x * 2.0f) * 2.0f - 1.0f; }

inline Lanes activate(Lanes x, int64_t kind) {
    switch (kind) {
        case 0: return larger(x, Lanes{});
        case 1: {
            Lanes y;
            for (int lane = 0; lane < LANES; lane++) y[lane] = 0.5f * x[lane] * (1.0f + std::erf(x[lane] * 0.70710678f));
            return y;
        }
        case 2: return x * sigmoid((x + x * x * x * 0.044715f) * 1.5957691216f);
        case 3: return x * sigmoid(x);
        default: return larger(x, Lanes{}) * larger(x, Lanes{});
    }
}

struct Run {
    const Stack &stack;
    const Batch &batch;
    int64_t key_width, query_width, qkv_width, wide, used = 0;
    // Of the layer that runs: outputs of its products; queries and keys in place; a norm of each row.
    float *qkv, *out, *ups, *down, *placed, *spare, *attended;
    Inputs normed, heads, active, last;
    std::atomic<int64_t> next_task[2] = {{0}, {0}};

    Run(const Stack &s, const Batch &b) : stack(s), batch(b) {
        key_width = s.key_heads * s.head_dim, query_width = s.heads * s.head_dim;
        qkv_width = padded(query_width + 2 * key_width, PANEL), wide = padded((s.is_gated ? 2 : 1) * s.feed_width, PANEL);
        const auto take = [&](int64_t size) {
            float *at = b.room ? b.room + used : nullptr;
            used += padded(size, 16);
            return at;
        };
        const auto inputs = [&](int64_t rows, const Matrix &m) { return Inputs(rows, m, take(Inputs::size(rows, m))); };
        const Layer &layer = s.layers[0];
        placed = take(b.tokens * qkv_width), attended = take(b.tokens * query_width);
        spare = take(b.tokens * padded(s.width, PANEL)), ups = b.products ? nullptr : take(b.tokens * wide);
        qkv = placed, out = down = spare;
        normed = inputs(b.tokens, layer.qkv), heads = inputs(b.tokens, layer.out);
        active = inputs(b.tokens, layer.down), last = inputs(b.count, s.head);
    }

    void norm_rows(const Norm &norm, Inputs &to, const Member &me) const {
        const int64_t D = stack.width;
        for (int64_t t = me.first(batch.tokens); t < me.end(batch.tokens); t++) {
            float *row = spare + t * padded(D, PANEL);  // this member has added it already
            normalise(norm, batch.hidden + t * D, D, row);
            to.put(t, row, 0, D);
        }
    }

    void product_rows(const Matrix &m, const Inputs &in, float *out, int64_t out_row, const Member &me) const {
        multiply(m, in, me.first(panels(m.outputs)), me.end(panels(m.outputs)), out, out_row);
    }

    void pack_rows(const float *from, int64_t row, Inputs &to, const Member &me) const {
        for (int64_t t = me.first(batch.tokens); t < me.end(batch.tokens); t++) to.put(t, from + t * row, 0, to.width);
    }

    // Norm, rotation and storage of a token's queries, keys and values.
    template <class W>
    void place_rows(const Layer &layer, const Member &me) const {
        for (int64_t sequence = 0; sequence < batch.sequences; sequence++) {
            const int64_t begin = batch.starts[sequence], end = batch.starts[sequence + 1];
            for (int64_t t = std::max(begin, me.first(batch.tokens)); t < std::min(end, me.end(batch.tokens)); t++) {
                float *q = placed + t * qkv_width, *k = q + query_width;
                const float *from = qkv + t * qkv_width, *v = from + query_width + key_width;
                if (batch.products) std::copy(from, v, q);
                norm_heads(layer.queries, q, stack.heads), norm_heads(layer.keys, k, stack.key_heads);
                const int64_t position = batch.positions[t];
                if (layer.cosines) rotate(layer, position, q, stack.heads + stack.key_heads);
                const int64_t block = batch.blocks[sequence * batch.table_width + position / BLOCK];
                for (int64_t g = 0; g < stack.key_heads; g++)
                    keep<W>(layer, block * stack.key_heads + g, position % BLOCK, k + g * stack.head_dim, v + g * stack.head_dim);
            }
        }
    }

    void norm_heads(const Norm &norm, float *x, int64_t count) const {
        if (norm.kind == 0) return;
        const int64_t n = stack.norms_all_heads ? count * stack.head_dim : stack.head_dim;
        for (int64_t i = 0; i < count * stack.head_dim; i += n) normalise(norm, x + i, n, x + i);
    }

    inline void turn_pairs(float *one, float *two, int64_t step, const float *cosine, const float *sine) const {
        for (int64_t i = 0; i < stack.rotated_pairs; i++) {
            const float a = one[i * step], b = two[i * step];
            one[i * step] = a * cosine[i] - b * sine[i];
            two[i * step] = a * sine[i] + b * cosine[i];
        }
    }

    void rotate(const Layer &layer, int64_t position, float *x, int64_t count) const {
        const int64_t pairs = stack.rotated_pairs;
        const float *cosine = layer.cosines + position * pairs, *sine = layer.sines + position * pairs;
        for (float *head = x; head < x + count * stack.head_dim; head += stack.head_dim)
            if (stack.is_interleaved) turn_pairs(head, head + 1, 2, cosine, sine);
            else turn_pairs(head, head + pairs, 1, cosine, sine);
    }

    template <class W>
    float scale_for(const float *x) const {
        if constexpr (sizeof(typename W::Unit) > 1) return 1.0f;
        float most = 0, check = 0;
        for (int64_t i = 0; i < stack.head_dim; i++) most = std::max(most, std::fabs(x[i])), check += x[i] * 0.0f;
        return check == 0 ? most / 127.0f : check;
    }

    // Whether keys and values are multiplied as halves are: panels of a block's tokens by features, and
    // of features by tokens.
    template <class W>
    static bool is_halved() {
        return std::is_same_v<W, Halves> && multiplies_halves();
    }

    void keep_halves(const Layer &layer, int64_t slot, int64_t place, const float *k, const float *v) const {
        const int64_t K = stack.head_dim, steps = steps_of(K);
        auto *keys = static_cast<uint16_t *>(layer.key_cache) + slot * BLOCK * steps * STEP;
        auto *values = static_cast<uint16_t *>(layer.value_cache) + slot * BLOCK * padded(K, PANEL);
        for (int64_t step = 0; step < steps; step++) {
            uint16_t features[STEP];
            halve(k + step * STEP, std::min(STEP, K - step * STEP), features);
            put_step(features, place % TILE, keys + (step * 2 + place / TILE) * HALVES_OF_TILE);
        }
        for (int64_t i = 0; i < K; i++) values[i / TILE * HALVES_OF_TILE + place / 2 * STEP + i % TILE * 2 + place % 2] = Halves::rounded(v[i]);
    }

    // Values of tokens that are to come weigh zero, so they must be numbers.
    void clear_blocks(const Layer &layer, const Member &me) const {
        const int64_t size = BLOCK * padded(stack.head_dim, PANEL) * stack.key_heads;
        for (int64_t sequence = 0; sequence < batch.sequences; sequence++)
            for (int64_t t = batch.starts[sequence]; t < batch.starts[sequence + 1]; t++) {
                const int64_t position = batch.positions[t], block = batch.blocks[sequence * batch.table_width + position / BLOCK];
                if (position % BLOCK == 0 && t % me.size == me.id)
                    std::memset(static_cast<uint16_t *>(layer.value_cache) + block * size, 0, size * sizeof(uint16_t));
            }
    }

    // Keys are stored by feature with the block's tokens in the lanes, values by token.
    template <class W>
    void keep(const Layer &layer, int64_t slot, int64_t place, const float *k, const float *v) const {
        const int64_t K = stack.head_dim, row = padded(K, PANEL);
        if (is_halved<W>()) return keep_halves(layer, slot, place, k, v);
        auto *keys = static_cast<typename W::Unit *>(layer.key_cache) + slot * BLOCK * K + place / PANEL * K * PANEL;
        auto *values = static_cast<typename W::Unit *>(layer.value_cache) + (slot * BLOCK + place) * row;
        const float k_scale = scale_for<W>(k), v_scale = scale_for<W>(v);
        const float by_k = k_scale > 0 ? 1.0f / k_scale : 0.0f, by_v = v_scale > 0 ? 1.0f / v_scale : 0.0f;
        for (int64_t i = 0; i < K; i++) {
            W::write(keys + i * PANEL, static_cast<int>(place % PANEL), k[i] * by_k);
            W::write(values + i / PANEL * PANEL, static_cast<int>(i % PANEL), v[i] * by_v);
        }
        if (layer.key_scales) layer.key_scales[slot * BLOCK + place] = k_scale, layer.value_scales[slot * BLOCK + place] = v_scale;
    }

    // Scores of a tile's queries with PANEL keys of a block, the place of the first `at`.
    template <class W>
    void score(const Layer &layer, const Inputs &queries, int64_t slot, int64_t at, float *out) const {
        const int64_t K = queries.width;
        if (is_halved<W>()) {
            const auto *keys = static_cast<const uint16_t *>(layer.key_cache) + slot * BLOCK * steps_of(K) * STEP;
            return multiply_halves<false>(queries.rows, 0, 1, [&](int64_t tile) { return queries.block_of(tile, keys, out, CHUNK); });
        }
        const auto *keys = static_cast<const typename W::Unit *>(layer.key_cache) + slot * BLOCK * K + at * K;
        each_tile(queries.rows, [&](int64_t r, auto R) {
            product<W, R, 1>(queries.floats + r * K, 1, R, keys, 0, PANEL, K, out + r * CHUNK, CHUNK, false);
        });
    }

    // Adds a block's values, the first at place `at`, by their weights.
    template <class W>
    void add_values(const Layer &layer, Inputs &weights, int64_t slot, int64_t at, int64_t count, const float *by, float *out) const {
        const int64_t row = padded(stack.head_dim, PANEL);
        const auto *values = static_cast<const typename W::Unit *>(layer.value_cache) + (slot * BLOCK + at) * row;
        if (is_halved<W>()) {
            for (int64_t r = 0; r < weights.rows; r++) weights.put_step(r, by + r * CHUNK);
            return multiply_halves<true>(weights.rows, 0, row / PANEL, [&](int64_t tile) {
                return weights.block_of(tile, reinterpret_cast<const uint16_t *>(values), out, row);
            });
        }
        each_tile(weights.rows, [&](int64_t r, auto R) {
            for (int64_t i = 0; i < row; i += PANEL)
                product<W, R, 1>(by + r * CHUNK, CHUNK, 1, values + i, 0, row, count, out + r * row + i, row, true);
        });
    }

    // Attention of a tile: some consecutive tokens of a sequence, all heads of one key head.
    template <class W>
    void attend(const Layer &layer, int64_t sequence, int64_t first, int64_t count, int64_t g) const {
        const int64_t per = stack.heads / stack.key_heads, K = stack.head_dim, row = padded(K, PANEL), rows = count * per;
        alignas(64) float scores[TILE_ROWS][CHUNK], most[TILE_ROWS], total[TILE_ROWS];
        const Matrix keys{nullptr, nullptr, nullptr, K, BLOCK, is_halved<W>() ? BFLOAT16 : FLOAT32, K};
        const Matrix values{nullptr, nullptr, nullptr, BLOCK, K, keys.format, BLOCK};
        thread_local std::vector<float> storage;
        storage.resize((rows + TILE) * row + Inputs::size(rows, keys) + Inputs::size(rows, values));
        std::fill(storage.begin(), storage.begin() + rows * row, 0.0f);
        float *out = storage.data(), *packed = out + (rows + TILE) * row;
        Inputs queries(rows, keys, packed), weights(rows, values, packed + Inputs::size(rows, keys));
        for (int64_t r = 0; r < rows; r++) {
            queries.put(r, placed + (first + r / per) * qkv_width + (g * per + r % per) * K, 0, K);
            most[r] = NOTHING, total[r] = 0;
        }
        const int64_t newest = batch.positions[first + count - 1];
        const int64_t oldest = layer.window ? std::max<int64_t>(0, batch.positions[first] - layer.window + 1) : 0;
        const int32_t *table = batch.blocks + sequence * batch.table_width;
        for (int64_t start = oldest / CHUNK * CHUNK; start <= newest; start += CHUNK) {
            const int64_t from = std::max(start, oldest / BLOCK * BLOCK), end = std::min(start + CHUNK, newest + 1);
            for (int64_t at = from; at < end; at += PANEL)
                score<W>(layer, queries, table[at / BLOCK] * stack.key_heads + g, at % BLOCK, &scores[0][at - start]);
            for (int64_t r = 0; r < rows; r++)
                soften(layer, g, table, start, from, end, batch.positions[first + r / per], g * per + r % per, scores[r], most[r],
                       total[r], out + r * row);
            for (int64_t at = from; at < end; at = (at / BLOCK + 1) * BLOCK)
                add_values<W>(layer, weights, table[at / BLOCK] * stack.key_heads + g, at % BLOCK,
                              std::min(end, (at / BLOCK + 1) * BLOCK) - at, &scores[0][at - start], out);
        }
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < K; i++)
                attended[(first + r / per) * query_width + (g * per + r % per) * K + i] = out[r * row + i] / total[r];
    }

    template <class F>
    static void each_tile(int64_t rows, F body) {
        int64_t r = 0;
        for (; r + MOST_ROWS <= rows; r += MOST_ROWS) body(r, std::integral_constant<int, MOST_ROWS>());
        rest<MOST_ROWS - 1>(rows - r, r, body);
    }

    template <int R, class F>
    static void rest(int64_t count, int64_t r, F body) {
        if constexpr (R > 0) {
            if (count == R) return body(r, std::integral_constant<int, R>());
            rest<R - 1>(count, r, body);
        }
    }

    // Scores become weights; earlier sums are rescaled to the new maximum. Hidden keys have weight zero.
    void soften(const Layer &layer, int64_t g, const int32_t *table, int64_t start, int64_t from, int64_t end, int64_t position,
                int64_t head, float *scores, float &most, float &total, float *out) const {
        const int64_t low = layer.window ? position - layer.window + 1 : 0;
        Lanes highest = all(most), place;
        for (int lane = 0; lane < LANES; lane++) place[lane] = static_cast<float>(start + lane - position);
        for (int64_t i = 0; i < CHUNK; i += LANES, place += static_cast<float>(LANES)) {
            Lanes score = all(2 * NOTHING);
            if (start + i + LANES > from && start + i < end) {
                score = load(scores + i) * stack.scale;
                const int64_t at = start + i, slot = table[at / BLOCK] * stack.key_heads + g;
                if (layer.key_scales) score *= load(layer.key_scales + slot * BLOCK + at % BLOCK);
                if (stack.slopes) score += place * stack.slopes[head];
                if (stack.softcap > 0) score = hyperbolic_tangent(score / stack.softcap) * stack.softcap;
                const Lanes lowest = all(static_cast<float>(low - position));
                score = (place <= 0.0f) & (place >= lowest) ? score : all(2 * NOTHING);
            }
            store(scores + i, score);
            highest = score > highest || score != score ? score : highest;
        }
        const float top = fold(highest, [](float a, float b) { return a > b || a != a ? a : b; });
        const float kept = exponential(all(most - top))[0];
        Lanes sum{};
        for (int64_t i = 0; i < CHUNK; i += LANES) {
            Lanes weight = exponential(load(scores + i) - top);
            sum += weight;
            if (layer.value_scales && start + i + LANES > from && start + i < end) {
                const int64_t at = start + i, slot = table[at / BLOCK] * stack.key_heads + g;
                weight = weight > 0.0f ? weight * load(layer.value_scales + slot * BLOCK + at % BLOCK) : weight;
            }
            store(scores + i, weight);
        }
        total = total * kept + total_of(sum);
        most = top;
        if (kept != 1.0f)
            for (int64_t i = 0; i < padded(stack.head_dim, PANEL); i++) out[i] *= kept;
    }

    template <class W>
    void attend_all(const Layer &layer, std::atomic<int64_t> &next) const {
        const int64_t per = std::max<int64_t>(1, TILE_ROWS / (stack.heads / stack.key_heads));
        int64_t before = 0, task = next++;
        for (int64_t sequence = 0; sequence < batch.sequences; sequence++) {
            const int64_t begin = batch.starts[sequence], end = batch.starts[sequence + 1];
            const int64_t tasks = (end - begin + per - 1) / per * stack.key_heads;
            for (; task < before + tasks; task = next++) {
                const int64_t first = begin + (task - before) / stack.key_heads * per;
                attend<W>(layer, sequence, first, std::min(per, end - first), (task - before) % stack.key_heads);
            }
            before += tasks;
        }
    }

    void activate_rows(const Member &me) {
        const int64_t groups = active.width / GROUP + (active.width % GROUP > 0), F = stack.feed_width;
        for (int64_t piece = me.first(batch.tokens * groups); piece < me.end(batch.tokens * groups); piece++) {
            const int64_t t = piece / groups, first = piece % groups * GROUP, end = std::min(first + GROUP, F);
            const float *up = ups + t * wide;
            float done[GROUP];
            int64_t i = first;
            for (; i + LANES <= end; i += LANES) {
                const Lanes gate = activate(load(up + i), stack.activation);
                store(done + i - first, stack.is_gated ? gate * load(up + F + i) : gate);
            }
            for (; i < end; i += LANES) {
                Lanes gate{};
                const int64_t count = std::min<int64_t>(LANES, end - i);
                for (int64_t lane = 0; lane < count; lane++) gate[lane] = up[i + lane];
                gate = activate(gate, stack.activation);
                for (int64_t lane = 0; lane < count; lane++) done[i - first + lane] = gate[lane] * (stack.is_gated ? up[F + i + lane] : 1.0f);
            }
            active.put(t, done, first, end);
        }
    }

    // The residual connection of some rows.
    void add_rows(const Norm &norm, const float *update, const Member &me) const {
        const int64_t D = stack.width, row = padded(D, PANEL);
        for (int64_t t = me.first(batch.tokens); t < me.end(batch.tokens); t++) {
            float *x = batch.hidden + t * D;
            const float *by = update + t * row;
            if (!stack.is_post_norm && norm.kind != 0) {
                normalise(norm, by, D, spare + t * row);
                by = spare + t * row;
            }
            if (stack.residual_scale == 1.0f) for (int64_t i = 0; i < D; i++) x[i] += by[i];
            else for (int64_t i = 0; i < D; i++) x[i] += by[i] * stack.residual_scale;
            if (stack.is_post_norm) normalise(norm, x, D, x);
        }
    }

    // The outputs of a layer's products go to memory of their own. All members have left the layer before.
    void keep_products(const Products &to, Member &me) {
        me.meet();
        if (me.id == 0) qkv = to.qkv, out = to.out, ups = to.up, down = to.down;
    }

    template <class W>
    void layer_rows(const Layer &layer, int64_t number, Member &me) {
        const int64_t row = padded(stack.width, PANEL);
        if (batch.products) keep_products(batch.products[number], me);
        if (is_halved<W>()) clear_blocks(layer, me);
        norm_rows(layer.attention, normed, me), me.meet();
        product_rows(layer.qkv, normed, qkv, qkv_width, me), me.meet();
        place_rows<W>(layer, me);
        // Its own norm of the same input, here: `out` will take the place of `spare`.
        if (stack.is_parallel && layer.feedforward.kind) norm_rows(layer.feedforward, normed, me);
        if (me.id == 0) next_task[(number + 1) % 2] = 0;
        me.meet();
        attend_all<W>(layer, next_task[number % 2]), me.meet();
        pack_rows(attended, query_width, heads, me), me.meet();
        product_rows(layer.out, heads, out, row, me), me.meet();
        if (!stack.is_parallel) {
            add_rows(layer.attention_out, out, me);
            norm_rows(layer.feedforward, normed, me), me.meet();
        }
        product_rows(layer.up, normed, ups, wide, me), me.meet();
        if (stack.is_parallel) add_rows(layer.attention_out, out, me);
        activate_rows(me), me.meet();
        product_rows(layer.down, active, down, row, me), me.meet();
        add_rows(layer.feedforward_out, down, me);
    }

    void output_rows(Member &me) {
        const int64_t D = stack.width, row = padded(stack.head.outputs, PANEL);
        for (int64_t i = me.first(batch.count); i < me.end(batch.count); i++) {
            float *x = batch.hidden + batch.selected[i] * D;
            normalise(stack.final_norm, x, D, x);
            for (int64_t at = 0; at < D; at++) x[at] *= stack.output_scale;
            last.put(i, x, 0, D);
        }
        me.meet();
        product_rows(stack.head, last, batch.logits, row, me);
        if (stack.output_softcap <= 0) return;
        const int64_t first = me.first(panels(stack.head.outputs)) * PANEL, end = me.end(panels(stack.head.outputs)) * PANEL;
        for (int64_t i = 0; i < batch.count; i++)
            for (int64_t n = first; n < end; n += LANES) {
                float *at = batch.logits + i * row + n;
                store(at, hyperbolic_tangent(load(at) / stack.output_softcap) * stack.output_softcap);
            }
    }

    void operator()(Member me) {
        for (int64_t i = 0; i < stack.num_layers; i++) {
            switch (stack.cache_format) {
                case FLOAT32: layer_rows<Floats>(stack.layers[i], i, me); break;
                case BFLOAT16: layer_rows<Halves>(stack.layers[i], i, me); break;
                default: layer_rows<Eighths>(stack.layers[i], i, me);
            }
        }
        me.meet();
        output_rows(me);
    }
};

}  // namespace

extern "C" int64_t panel_width() { return PANEL; }
extern "C" int64_t block_tokens() { return BLOCK; }

// Numbers of a packed output.
extern "C" int64_t packed_inputs(int64_t inputs, int64_t format) {
    return format == BFLOAT16 && multiplies_halves() ? steps_of(inputs) * STEP : inputs;
}

// Floats of working memory for a batch.
extern "C" int64_t room_size(const Stack *stack, const Batch *batch) {
    Batch empty = *batch;
    empty.room = nullptr;
    Run run(*stack, empty);
    return run.used;
}

// Whether nothing outside the tables would be read: positions below `bound`, blocks of the cache.
extern "C" int64_t fits_tables(const Batch *batch, int64_t bound, int64_t num_blocks) {
    const auto are_within = [](const int32_t *at, int64_t count, int64_t end) {
        return std::all_of(at, at + count, [=](int32_t x) { return x >= 0 && x < end; });
    };
    const int32_t *starts = batch->starts;
    bool fits = starts[0] == 0 && starts[batch->sequences] == batch->tokens;
    for (int64_t i = 0; i < batch->sequences; i++) fits = fits && starts[i] < starts[i + 1];
    return fits && are_within(batch->positions, batch->tokens, bound) &&
           are_within(batch->blocks, batch->sequences * batch->table_width, num_blocks) &&
           are_within(batch->selected, batch->count, batch->tokens);
}

// Asks for pages of 2 MB: what streams through memory would wait for small ones' addresses.
extern "C" void use_large_pages(void *memory, int64_t bytes) {
#if defined(MADV_HUGEPAGE)
    constexpr uintptr_t PAGE = 1 << 21;
    const auto at = reinterpret_cast<uintptr_t>(memory), first = (at + PAGE - 1) / PAGE * PAGE, end = (at + bytes) / PAGE * PAGE;
    if (end > first) madvise(reinterpret_cast<void *>(first), end - first, MADV_HUGEPAGE);
#endif
}

// Permutes (outputs, inputs) into panels; missing outputs of the last one are zero. Floats and halves
// come as they are, integers as bytes, with their scales (outputs, inputs / group).
struct Source {
    const void *weights;
    const float *scales;
    int64_t format;
};

namespace {

inline float number(float x) { return x; }
inline float number(int8_t x) { return x; }
inline float number(uint16_t half) {
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// Blocks of 16 inputs, so that a line of each row is read once.
template <class T, class Put>
void each_weight(const T *rows, const Matrix &m, int64_t panel, Put put) {
    const int64_t first = panel * PANEL, count = std::min<int64_t>(PANEL, m.outputs - first), K = m.inputs;
    for (int64_t start = 0; start < K; start += 16)
        for (int64_t k = start; k < std::min(start + 16, K); k++) {
            for (int lane = 0; lane < count; lane++) put(k, lane, number(rows[(first + lane) * K + k]));
            for (int lane = static_cast<int>(count); lane < PANEL; lane++) put(k, lane, 0.0f);
        }
}

inline void read_step(const uint16_t *from, int64_t count, uint16_t *to) { std::memcpy(to, from, count * sizeof *to); }
template <class T>
void read_step(const T *from, int64_t count, uint16_t *to) {
    float values[STEP];
    for (int64_t k = 0; k < count; k++) values[k] = number(from[k]);
    halve(values, count, to);
}

// As halves.h has them, a step of an output at a time.
template <class T>
void pack_halves(const T *rows, const Matrix &m, int64_t panel, uint16_t *to) {
    const int64_t first = panel * PANEL, count = std::min<int64_t>(PANEL, m.outputs - first), K = m.inputs;
    for (int64_t step = 0; step < steps_of(K); step++)
        for (int64_t lane = 0; lane < PANEL; lane++) {
            uint16_t values[STEP] = {};
            if (lane < count) read_step(rows + (first + lane) * K + step * STEP, std::min(STEP, K - step * STEP), values);
            put_step(values, lane % TILE, to + (step * 2 + lane / TILE) * HALVES_OF_TILE);
        }
}

template <class T>
void pack_numbers(const T *rows, const Matrix &m, int64_t panel, void *to) {
    const int64_t size = panel * packed_inputs(m.inputs, m.format) * PANEL;
    auto *floats = static_cast<float *>(to) + size;
    auto *halves = static_cast<uint16_t *>(to) + size;
    auto *bytes = static_cast<uint8_t *>(to) + (m.format == INT4 ? size / 2 : size);
    switch (m.format) {
        case FLOAT32:
            return each_weight(rows, m, panel, [&](int64_t k, int lane, float x) { Floats::write(floats + k * PANEL, lane, x); });
        case BFLOAT16:
            if (multiplies_halves()) return pack_halves(rows, m, panel, halves);
            return each_weight(rows, m, panel, [&](int64_t k, int lane, float x) { Halves::write(halves + k * PANEL, lane, x); });
        case INT8:
            return each_weight(rows, m, panel, [&](int64_t k, int lane, float x) {
                bytes[(k / 4 * PANEL + lane) * 4 + k % 4] = static_cast<uint8_t>(static_cast<int>(x) + (IS_OFFSET ? 128 : 0));
            });
        default:
            return each_weight(rows, m, panel, [&](int64_t k, int lane, float x) {
                uint8_t &pair = bytes[(k / 8 * PANEL + lane) * 4 + k % 4];
                const int whole = static_cast<int>(x) + 8;
                pair = static_cast<uint8_t>(k % 8 < 4 ? whole : pair | whole << 4);
            });
    }
}

void pack_panel(const Source &from, const Matrix &m, int64_t panel, void *to, float *scales) {
    switch (from.format) {
        case FLOAT32: pack_numbers(static_cast<const float *>(from.weights), m, panel, to); break;
        case BFLOAT16: pack_numbers(static_cast<const uint16_t *>(from.weights), m, panel, to); break;
        default: pack_numbers(static_cast<const int8_t *>(from.weights), m, panel, to);
    }
    if (!from.scales) return;
    const int64_t groups = m.inputs / m.group, first = panel * PANEL, count = std::min<int64_t>(PANEL, m.outputs - first);
    for (int64_t g = 0; g < groups; g++)
        for (int64_t lane = 0; lane < PANEL; lane++)
            scales[(panel * groups + g) * PANEL + lane] = lane < count ? from.scales[(first + lane) * groups + g] : 0.0f;
}

}  // namespace

extern "C" void pack_matrix(const Source *from, const Matrix *m, void *to, float *scales, int64_t threads) {
    together(threads, [&](Member me) {
        for (int64_t panel = me.first(panels(m->outputs)); panel < me.end(panels(m->outputs)); panel++)
            pack_panel(*from, *m, panel, to, scales);
    });
}

// Floats of working memory for `multiply_rows`.
extern "C" int64_t rows_size(int64_t rows, const Matrix *m) { return Inputs::size(rows, *m); }

// One product of rows (rows, inputs) as the stack computes it; `room` holds the packed rows.
extern "C" void multiply_rows(const Matrix *m, const float *x, int64_t rows, float *room, float *out, int64_t threads) {
    Inputs in(rows, *m, room);
    together(threads, [&](Member me) {
        const Tiles tiles;
        for (int64_t r = me.first(rows); r < me.end(rows); r++) in.put(r, x + r * m->inputs, 0, m->inputs);
        me.meet();
        multiply(*m, in, me.first(panels(m->outputs)), me.end(panels(m->outputs)), out, panels(m->outputs) * PANEL);
    });
}

extern "C" void run_stack(const Stack *stack, const Batch *batch, int64_t threads) {
    Run run(*stack, *batch);
    together(threads, [&](Member me) {
        const Tiles tiles;
        run(me);
    });
}
