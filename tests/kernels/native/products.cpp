// Packs random weights in every format, multiplies rows, and compares with sums in double: for each
// set of instructions (test_instructions.py).
#include "stack.cpp"

#include <cstdio>
#include <random>
#include <vector>

std::mt19937 random_bits(7);

float uniform() { return std::uniform_real_distribution<float>(-1, 1)(random_bits); }

// What byte products make of 32 inputs: the nearest multiples of a 127th of the largest.
std::vector<double> rounded(const float *x, int64_t inputs) {
    std::vector<double> all(inputs);
    for (int64_t g = 0; g < inputs; g += 32) {
        float most = 0;
        for (int64_t k = g; k < g + 32; k++) most = std::max(most, std::fabs(x[k]));
        for (int64_t k = g; k < g + 32; k++)
            all[k] = most > 0 ? std::nearbyint(x[k] * (127.0f / most)) * static_cast<double>(most / 127.0f) : 0;
    }
    return all;
}

double half(float x) { return number(Halves::rounded(x)); }

// The inputs as a format multiplies them.
std::vector<double> read(const float *x, int64_t inputs, int64_t format) {
    if (format >= INT8) return rounded(x, inputs);
    std::vector<double> all(x, x + inputs);
    if (format == BFLOAT16 && multiplies_halves())
        for (int64_t k = 0; k < inputs; k++) all[k] = half(x[k]);
    return all;
}

double check(int64_t format, int64_t inputs, int64_t outputs, int64_t group, int64_t rows) {
    const bool is_integer = format >= INT8;
    const int64_t padded = panels(outputs) * PANEL, most = format == INT4 ? 7 : 127;
    std::vector<float> weights(outputs * inputs), scales(outputs * (inputs / group)), x(rows * inputs);
    std::vector<int8_t> integers(outputs * inputs);
    for (float &each : weights) each = uniform();
    for (float &each : scales) each = 0.01f + 0.01f * std::fabs(uniform());
    for (float &each : x) each = uniform();
    for (int8_t &each : integers) each = static_cast<int8_t>(std::nearbyint(uniform() * most));
    std::vector<float> packed(padded * inputs), packed_scales(padded * (inputs / group)), out(rows * padded);
    std::vector<float> room, alone(padded);
    Matrix m{packed.data(), packed_scales.data(), nullptr, inputs, outputs, format, group};
    room.resize(rows_size(rows, &m));
    Source from{is_integer ? static_cast<const void *>(integers.data()) : weights.data(),
                is_integer ? scales.data() : nullptr, is_integer ? INT8 : FLOAT32};
    pack_matrix(&from, &m, packed.data(), packed_scales.data(), 2);
    multiply_rows(&m, x.data(), rows, room.data(), out.data(), 2);
    double worst = 0;
    for (int64_t r = 0; r < rows; r++) {
        multiply_rows(&m, x.data() + r * inputs, 1, room.data(), alone.data(), 1);
        const std::vector<double> row = read(&x[r * inputs], inputs, format);
        for (int64_t n = 0; n < outputs; n++) {
            double sum = 0, size = 0;
            for (int64_t k = 0; k < inputs; k++) {
                double w = is_integer ? integers[n * inputs + k] * static_cast<double>(scales[n * (inputs / group) + k / group])
                                      : weights[n * inputs + k];
                if (format == BFLOAT16) w = half(weights[n * inputs + k]);
                sum += w * row[k], size += std::fabs(w * row[k]);
            }
            worst = std::max(worst, std::fabs(out[r * padded + n] - sum) / size);
            if (out[r * padded + n] != alone[n]) return 1e9;  // a row's bits depend on its company
        }
    }
    return worst;
}

int main() {
    for (int64_t format = FLOAT32; format <= INT4; format++)
        for (int64_t rows : {1, 2, 5, 12, 13, 16, 30, 40})
            std::printf("%d %d %g\n", static_cast<int>(format), static_cast<int>(rows),
                        std::max(check(format, 96, 37, 32, rows), check(format, 128, 64, 128, rows)));
}
