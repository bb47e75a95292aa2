// SIMD vectors of floats of the CPU's width, and their exponential.

#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Lanes __attribute__((vector_size(4 * LANES), aligned(4 * LANES)));
typedef int32_t Whole __attribute__((vector_size(4 * LANES), aligned(4 * LANES)));

inline Lanes all(float value) { return Lanes{} + value; }

inline Lanes larger(Lanes a, Lanes b) { return a > b ? a : b; }

// e^x for x <= 0: 2^n times a series of the remainder; zero on underflow; NaN propagates, so that a
// diverged model is noticed.
inline Lanes exponential(Lanes x) {
    const Lanes magic = all(12582912.0f);
    Lanes clamped = larger(x, all(-87.0f));
    Lanes shifted = clamped * 1.44269504f + magic;
    Lanes n = shifted - magic;
    Lanes f = clamped - n * 0.693359375f + n * 2.12194440e-4f;
    Lanes series = all(1.9875691500e-4f);
    series = series * f + 1.3981999507e-3f;
    series = series * f + 8.3334519073e-3f;
    series = series * f + 4.1665795894e-2f;
    series = series * f + 1.6666665459e-1f;
    series = series * f + 5.0000001201e-1f;
    series = series * (f * f) + f + 1.0f;
    Whole bits, power;
    std::memcpy(&power, &shifted, sizeof power);
    power = (power - 0x4B400000) << 23;
    std::memcpy(&bits, &series, sizeof bits);
    bits += power;
    std::memcpy(&series, &bits, sizeof bits);
    return x == x ? (x > -87.0f ? series : Lanes{}) : x;
}

// body(0), body(1), ... unrolled before the optimiser looks: only then do arrays of sums become registers.
template <class F, int... I>
[[gnu::always_inline]] inline void repeat_each(F body, std::integer_sequence<int, I...>) {
    (body(std::integral_constant<int, I>()), ...);
}

template <int N, class F>
[[gnu::always_inline]] inline void repeat(F body) {
    repeat_each(body, std::make_integer_sequence<int, N>());
}

#define GROUNDUP_INLINE __attribute__((always_inline))

}  // namespace
