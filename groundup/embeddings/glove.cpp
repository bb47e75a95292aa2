// GloVe's inner loop; groundup/embeddings/glove/glove.py is its definition.
//
// Rows are padded with zeros to whole vectors. Threads take equal runs of cells and change the rows
// without locks; with one thread the result is a function of the arguments.

#include <cmath>
#include <cstdint>
#include <thread>
#include <vector>

struct Cell {
    int32_t word, context;
    double count;
};

struct Glove {
    float *words, *contexts, *word_squares, *context_squares;
    float *word_bias, *context_bias, *word_bias_squares, *context_bias_squares;
    int64_t stride;
    double x_max, alpha, rate, bias_rate, clip;
};

namespace {

double run(const Glove &m, const Cell *cells, int64_t count) {
    double loss = 0;
    for (int64_t c = 0; c < count; c++) {
        const Cell cell = cells[c];
        if (c + 4 < count) {
            __builtin_prefetch(m.words + cells[c + 4].word * m.stride, 1);
            __builtin_prefetch(m.contexts + cells[c + 4].context * m.stride, 1);
        }
        float *__restrict a = m.words + cell.word * m.stride;
        float *__restrict b = m.contexts + cell.context * m.stride;
        float *__restrict sa = m.word_squares + cell.word * m.stride;
        float *__restrict sb = m.context_squares + cell.context * m.stride;
        float lanes[16] = {};
        for (int64_t i = 0; i < m.stride; i += 16)
            for (int k = 0; k < 16; k++) lanes[k] += a[i + k] * b[i + k];
        float dot = 0;
        for (float lane : lanes) dot += lane;
        float &bias = m.word_bias[cell.word], &other = m.context_bias[cell.context];
        const double error = dot + bias + other - std::log(cell.count);
        const double weight = cell.count > m.x_max ? 1 : std::pow(cell.count / m.x_max, m.alpha);
        loss += 0.5 * weight * error * error;
        const float pull = static_cast<float>(weight * error);
        const float rate = static_cast<float>(m.rate), clip = static_cast<float>(m.clip);
        for (int64_t i = 0; i < m.stride; i++) {
            const float ga = pull * b[i], gb = pull * a[i];
            const float da = rate * (ga < -clip ? -clip : ga > clip ? clip : ga);
            const float db = rate * (gb < -clip ? -clip : gb > clip ? clip : gb);
            a[i] -= da / std::sqrt(sa[i]);
            b[i] -= db / std::sqrt(sb[i]);
            sa[i] += da * da;
            sb[i] += db * db;
        }
        const float push = pull * static_cast<float>(m.bias_rate);
        bias -= push / std::sqrt(m.word_bias_squares[cell.word]);
        other -= push / std::sqrt(m.context_bias_squares[cell.context]);
        m.word_bias_squares[cell.word] += push * push;
        m.context_bias_squares[cell.context] += push * push;
    }
    return loss;
}

}  // namespace

// One pass over cells; return the sum of the weighted squared errors, halved.
extern "C" double glove(const Glove *model, const Cell *cells, int64_t count, int64_t threads) {
    std::vector<double> losses(threads, 0.0);
    std::vector<std::thread> pool;
    const int64_t share = count / threads;
    auto part = [&](int64_t t) {
        int64_t length = t + 1 < threads ? share : count - share * (threads - 1);
        losses[t] = run(*model, cells + share * t, length);
    };
    for (int64_t t = 1; t < threads; t++) pool.emplace_back(part, t);
    part(0);
    for (auto &thread : pool) thread.join();
    double total = 0;
    for (double loss : losses) total += loss;
    return total;
}
