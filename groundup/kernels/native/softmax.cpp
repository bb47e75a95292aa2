// Softmax of rows and its gradient, and cross-entropy of rows; see interval.py. A row is read as
// float32 into a buffer in cache, so its exponentials are computed once, and numbers outside the key
// interval are neither read nor computed.
// flags: -fopenmp

#include "lanes.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

struct BFloat {
    uint16_t bits;
};

inline float widen(float x) { return x; }

inline float widen(BFloat x) {
    const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline void narrow(float x, float &out) { out = x; }

// Round to nearest, ties to even; NaN stays NaN.
inline void narrow(float x, BFloat &out) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    out.bits = static_cast<uint16_t>(x == x ? rounded : 0x7FC0);
}

// Vectors of floats, including a partial last one.
struct Row {
    Lanes *lanes = nullptr;
    int64_t size = 0;
    std::vector<char> room;

    float *take(int64_t count) {
        if (count > size) {
            size = (count + LANES - 1) / LANES * LANES;
            room.resize((size + LANES) * sizeof(float));
            const auto start = reinterpret_cast<uintptr_t>(room.data());
            lanes = reinterpret_cast<Lanes *>((start + sizeof(Lanes) - 1) / sizeof(Lanes) * sizeof(Lanes));
        }
        return reinterpret_cast<float *>(lanes);
    }
};

thread_local Row first_row, second_row;

inline float most_of(Lanes x) {
    float most = x[0];
    for (int i = 1; i < LANES; i++) most = x[i] > most ? x[i] : most;
    return most;
}

inline float sum_of(Lanes x) {
    float sum = 0.0f;
    for (int i = 0; i < LANES; i++) sum += x[i];
    return sum;
}

struct Soft {
    float most, sum;
};

// Writes e^(x * scale - most) to the thread's buffer; their sum is `sum`.
template <typename Number>
Soft exponentials(const Number *in, int64_t count, float scale) {
    float *row = first_row.take(count);
    for (int64_t i = 0; i < count; i++) row[i] = widen(in[i]) * scale;
    const int64_t vectors = (count + LANES - 1) / LANES;
    for (int64_t i = count; i < vectors * LANES; i++) row[i] = -INFINITY;
    Lanes most = all(-INFINITY);
    for (int64_t i = 0; i < vectors; i++) most = larger(first_row.lanes[i], most);
    const float highest = most_of(most);
    Lanes sum = Lanes{};
    for (int64_t i = 0; i < vectors; i++) {
        first_row.lanes[i] = exponential(first_row.lanes[i] - highest);
        sum += first_row.lanes[i];
    }
    return {highest, sum_of(sum)};
}

template <typename Number>
void write(Number *out, int64_t low, int64_t high, int64_t keys, float factor) {
    const float *row = reinterpret_cast<const float *>(first_row.lanes);
    std::fill(out, out + low, Number{});
    for (int64_t i = 0; i < high - low; i++) narrow(row[i] * factor, out[low + i]);
    std::fill(out + high, out + keys, Number{});
}

}  // namespace

struct Softmax {
    const void *in, *slope;  // scores; or weights and their gradient
    void *out;
    const int32_t *low, *high;
    int64_t rows, heads, queries, keys;
    int64_t row_bounds;  // stride of the bounds by row; 0 if shared
    float scale;
};

namespace {

template <typename Number>
void softmax(const Softmax &work, int64_t line, int64_t low, int64_t high) {
    const auto *in = static_cast<const Number *>(work.in) + line * work.keys;
    auto *out = static_cast<Number *>(work.out) + line * work.keys;
    float factor = 0.0f;
    if (low < high) factor = 1.0f / exponentials(in + low, high - low, work.scale).sum;
    write(out, low, high, work.keys, factor);
}

// weights * (slope - sum(weights * slope)) * scale
template <typename Number>
void softmax_back(const Softmax &work, int64_t line, int64_t low, int64_t high) {
    const int64_t count = high - low, vectors = (count + LANES - 1) / LANES;
    const auto *in = static_cast<const Number *>(work.in) + line * work.keys + low;
    const auto *slope = static_cast<const Number *>(work.slope) + line * work.keys + low;
    float *weights = second_row.take(count), *row = first_row.take(count);
    for (int64_t i = 0; i < count; i++) weights[i] = widen(in[i]);
    for (int64_t i = 0; i < count; i++) row[i] = widen(slope[i]);
    for (int64_t i = count; i < vectors * LANES; i++) weights[i] = row[i] = 0.0f;
    Lanes sum = Lanes{};
    for (int64_t i = 0; i < vectors; i++) sum += second_row.lanes[i] * first_row.lanes[i];
    const float mean = sum_of(sum);
    for (int64_t i = 0; i < vectors; i++)
        first_row.lanes[i] = second_row.lanes[i] * (first_row.lanes[i] - mean);
    write(static_cast<Number *>(work.out) + line * work.keys, low, high, work.keys, work.scale);
}

template <typename Line>
void over_lines(const Softmax &work, int64_t threads, Line line) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < work.rows * work.heads * work.queries; i++) {
        const int64_t at = i / (work.heads * work.queries) * work.row_bounds + i % work.queries;
        line(work, i, work.low[at], work.high[at]);
    }
}

}  // namespace

extern "C" void softmax_forward(const Softmax *work, int64_t is_half, int64_t threads) {
    over_lines(*work, threads, is_half ? softmax<BFloat> : softmax<float>);
}

extern "C" void softmax_backward(const Softmax *work, int64_t is_half, int64_t threads) {
    over_lines(*work, threads, is_half ? softmax_back<BFloat> : softmax_back<float>);
}

struct Loss {
    const void *logits;
    const int64_t *targets;
    const float *weights;
    float *losses;
    void *errors;  // weight * (softmax - one-hot); may be the logits
    int64_t tokens, size;
};

namespace {

template <typename Number>
void loss_of(const Loss &work, int64_t token) {
    const auto *logits = static_cast<const Number *>(work.logits) + token * work.size;
    auto *errors = static_cast<Number *>(work.errors) + token * work.size;
    const float weight = work.weights[token];
    const int64_t target = work.targets[token];
    const float own = widen(logits[target]);
    const Soft found = exponentials(logits, work.size, 1.0f);
    work.losses[token] = weight * (std::log(found.sum) + found.most - own);
    const float factor = weight / found.sum, chance = reinterpret_cast<float *>(first_row.lanes)[target];
    write(errors, 0, work.size, work.size, factor);
    narrow(chance * factor - weight, errors[target]);
}

}  // namespace

extern "C" void cross_entropy(const Loss *work, int64_t is_half, int64_t threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < work->tokens; i++) is_half ? loss_of<BFloat>(*work, i) : loss_of<float>(*work, i);
}
