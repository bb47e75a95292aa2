// 8-bit and bfloat16 optimizer states: decoded, encoded, and updated by AdamW in one pass; see
// states.py. A block of a row is decoded into a float32 buffer in cache, updated and encoded. Results
// are bit-identical to torch's, so multiply-adds are fused exactly where torch's kernel fuses them.
// flags: -fopenmp -ffp-contract=off

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

struct State {
    void *numbers;  // codes, or upper halves of float32
    float *scales;  // one per block; null: bfloat16
    const float *values, *middles;  // the 8-bit grid
    const uint8_t *first;
    const int32_t *starts;  // offset of each row in the unsharded weight; null: not sharded
    int64_t rows, columns, block;
    uint32_t key;
};

struct Move {
    float *weights;
    const float *gradients;
    float decay, mean_new, square_old, square_new, root, epsilon, rate;
};

namespace {

inline float fused(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

inline uint32_t bits_of(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline float float_of(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

struct Stretch {
    int64_t block, start, count;  // index of the block, its first number and its size
    uint32_t place;
};

struct EightBits {
    static void read(const State &state, const Stretch &at, float *out) {
        const uint8_t *codes = static_cast<const uint8_t *>(state.numbers) + at.start;
        const float scale = state.scales[at.block], *values = state.values;
#pragma GCC unroll 4
        for (int64_t i = 0; i < at.count; i++) out[i] = values[codes[i]] * scale;
    }

    static void write(const State &state, const Stretch &at, float *in) {
        uint8_t *codes = static_cast<uint8_t *>(state.numbers) + at.start;
        int32_t most = 0;  // magnitudes compare as integers, with NaN above all
        for (int64_t i = 0; i < at.count; i++)
            most = std::max(most, static_cast<int32_t>(bits_of(in[i]) & 0x7FFFFFFF));
        const float scale = float_of(most), divisor = scale < FLT_MIN ? FLT_MIN : scale;
        const float *middles = state.middles;
        const uint8_t *first = state.first;
        state.scales[at.block] = scale;
        for (int64_t i = 0; i < at.count; i++) in[i] /= divisor;
#pragma GCC unroll 4
        for (int64_t i = 0; i < at.count; i++) {
            const uint8_t low = first[bits_of(in[i]) >> 16];
            codes[i] = static_cast<uint8_t>(low + (in[i] > middles[low]));
        }
    }
};

struct Halves {
    static void read(const State &state, const Stretch &at, float *out) {
        const uint16_t *halves = static_cast<const uint16_t *>(state.numbers) + at.start;
        for (int64_t i = 0; i < at.count; i++) out[i] = float_of(static_cast<uint32_t>(halves[i]) << 16);
    }

    static void write(const State &state, const Stretch &at, float *in) {
        uint16_t *halves = static_cast<uint16_t *>(state.numbers) + at.start;
        const uint32_t first = at.place + state.key;
        for (int64_t i = 0; i < at.count; i++) {
            uint32_t chance = first + static_cast<uint32_t>(i);
            chance = (chance ^ (chance >> 16)) * 0x85EBCA6B;
            chance = (chance ^ (chance >> 16)) * 0xC2B2AE35;
            chance ^= chance >> 16;
            halves[i] = static_cast<uint16_t>((bits_of(in[i]) + (chance & 0xFFFF)) >> 16);
        }
    }
};

template <typename Each>
void over_blocks(const State &state, int64_t threads, Each each) {
    const int64_t blocks = (state.columns + state.block - 1) / state.block;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < state.rows * blocks; i++) {
        const int64_t row = i / blocks, column = i % blocks * state.block;
        const int64_t start = row * state.columns + column;
        const int64_t place = state.starts ? state.starts[row] + column : start;
        const int64_t count = std::min(state.block, state.columns - column);
        each(Stretch{i, start, count, static_cast<uint32_t>(place)});
    }
}

thread_local std::vector<float> first_room, second_room;

float *taken(std::vector<float> &room, int64_t count) {
    if (static_cast<int64_t>(room.size()) < count) room.resize(count);
    return room.data();
}

void moved(const Move &by, int64_t start, int64_t count, float *mean, float *square) {
    float *weights = by.weights + start;
    const float *gradients = by.gradients + start;
    const bool is_slow = by.mean_new < 0.5f;
    const float share = is_slow ? by.mean_new : by.mean_new - 1.0f;
#pragma GCC ivdep
    for (int64_t i = 0; i < count; i++) {
        const float gradient = gradients[i];
        mean[i] = fused(share, gradient - mean[i], is_slow ? mean[i] : gradient);
        square[i] = fused(by.square_new * gradient, gradient, square[i] * by.square_old);
        const float size = std::sqrt(square[i]) / by.root + by.epsilon;
        weights[i] = weights[i] * by.decay + by.rate * mean[i] / size;
    }
}

template <typename Kind>
void adamw(const State &mean, const State &square, const Move &by, int64_t threads) {
    over_blocks(mean, threads, [&](const Stretch &at) {
        float *first = taken(first_room, at.count), *second = taken(second_room, at.count);
        Kind::read(mean, at, first);
        Kind::read(square, at, second);
        moved(by, at.start, at.count, first, second);
        Kind::write(mean, at, first);
        Kind::write(square, at, second);
    });
}

template <typename Kind>
void write(const State &state, const float *in, int64_t threads) {
    over_blocks(state, threads, [&](const Stretch &at) {
        float *room = taken(first_room, at.count);
        std::copy(in + at.start, in + at.start + at.count, room);
        Kind::write(state, at, room);
    });
}

}  // namespace

extern "C" void adamw_states(const State *mean, const State *square, const Move *by, int64_t threads) {
    (mean->scales ? adamw<EightBits> : adamw<Halves>)(*mean, *square, *by, threads);
}

extern "C" void write_state(const State *state, const float *in, int64_t threads) {
    (state->scales ? write<EightBits> : write<Halves>)(*state, in, threads);
}

extern "C" void read_codes(const State *state, float *out, int64_t threads) {
    over_blocks(*state, threads, [&](const Stretch &at) { EightBits::read(*state, at, out + at.start); });
}
