// word2vec's inner loops; groundup/embeddings/word2vec.py is their definition.
//
// Rows are padded with zeros to whole vectors of 16 floats, so no loop has a remainder. One step
// reads all its rows before it changes any. Threads take the next job and change the rows without
// locks (Recht et al. 2011, Hogwild); with one thread the result is a function of the arguments.

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

namespace {

constexpr int LANES = 16, MOST_TARGETS = 128;
typedef float Lanes __attribute__((vector_size(64), aligned(64)));
typedef float Half __attribute__((vector_size(32), aligned(32)));
typedef float Quarter __attribute__((vector_size(16), aligned(16)));

}  // namespace

struct Word2Vec {
    float *input, *output;
    int64_t stride;
    const int32_t *ids;
    const int64_t *ends;
    const uint32_t *keep;
    const uint32_t *cumulative;
    const int32_t *buckets;
    int64_t words;
    const int32_t *points;
    const uint8_t *codes;
    const int64_t *paths;
    int64_t window, negatives;
    int64_t skip_gram, shrink, mean;
};

namespace {

struct Stream {
    uint64_t state;
    uint32_t next() {
        uint32_t drawn = static_cast<uint32_t>(state >> 16);
        state = (state * 25214903917ULL + 11) & ((1ULL << 48) - 1);
        return drawn;
    }
};

inline float sum(Lanes v) {
    union { Lanes whole; Half halves[2]; } a;
    a.whole = v;
    union { Half whole; Quarter halves[2]; } b;
    b.whole = a.halves[0] + a.halves[1];
    Quarter c = b.halves[0] + b.halves[1];
    return (c[0] + c[2]) + (c[1] + c[3]);
}

// (label - sigmoid(f)) * rate, in place; exp(-f) by its series around the nearest power of two.
inline void gradients(float *f, const float *labels, int count, float rate) {
    for (int block = 0; block < count; block += LANES) {
        for (int i = block; i < block + LANES; i++) {
            float x = f[i] < -80.f ? -80.f : f[i] > 80.f ? 80.f : f[i];
            x = -x;
            float power = std::floor(x * 1.44269504f + 0.5f);
            float r = x - power * 0.693359375f + power * 2.12194440e-4f;
            float series = 1.f + r * (1.f + r * (0.5f + r * (1.66666667e-1f + r * (4.16666667e-2f +
                           r * (8.33333333e-3f + r * 1.38888889e-3f)))));
            int32_t bits = (static_cast<int32_t>(power) + 127) << 23;
            float scale;
            std::memcpy(&scale, &bits, sizeof scale);
            f[i] = (labels[i] - 1.f / (1.f + series * scale)) * rate;
        }
    }
}

// One step: targets' rows move by the gradient, `work` is what the hidden vector should move by.
template <int N>
void step(const float *hidden, float *const *rows, const float *labels, int count, float rate,
          float *work, int n) {
    const int width = N ? N : n;
    const Lanes *x = reinterpret_cast<const Lanes *>(hidden);
    alignas(64) float g[MOST_TARGETS];
    for (int k = count; k % LANES; k++) g[k] = 0;
    for (int k = 0; k < count; k++) {
        const Lanes *row = reinterpret_cast<const Lanes *>(rows[k]);
        Lanes dot = x[0] * row[0];
        for (int i = 1; i < width; i++) dot += x[i] * row[i];
        g[k] = sum(dot);
    }
    gradients(g, labels, count, rate);
    Lanes *moves = reinterpret_cast<Lanes *>(work);
    if constexpr (N > 0 && N <= 20) {
        Lanes total[N] = {};
        for (int k = 0; k < count; k++) {
            const Lanes *row = reinterpret_cast<const Lanes *>(rows[k]);
            for (int i = 0; i < N; i++) total[i] += g[k] * row[i];
        }
        for (int i = 0; i < N; i++) moves[i] = total[i];
    } else {
        for (int i = 0; i < width; i++) moves[i] = Lanes{};
        for (int k = 0; k < count; k++) {
            const Lanes *row = reinterpret_cast<const Lanes *>(rows[k]);
            for (int i = 0; i < width; i++) moves[i] += g[k] * row[i];
        }
    }
    for (int k = 0; k < count; k++) {
        Lanes *row = reinterpret_cast<Lanes *>(rows[k]);
        for (int i = 0; i < width; i++) row[i] += g[k] * x[i];
    }
}

using Step = void (*)(const float *, float *const *, const float *, int, float, float *, int);

Step step_for(int64_t vectors) {
    static const Step known[] = {
        step<0>,  step<1>,  step<2>,  step<3>,  step<4>,  step<5>,  step<6>,
        step<7>,  step<8>,  step<9>,  step<10>, step<11>, step<12>, step<13>,
        step<14>, step<15>, step<16>, step<17>, step<18>, step<19>, step<20>,
    };
    return vectors <= 20 ? known[vectors] : known[0];
}

void add(float *to, const float *from, int n) {
    Lanes *a = reinterpret_cast<Lanes *>(to);
    const Lanes *b = reinterpret_cast<const Lanes *>(from);
    for (int i = 0; i < n; i++) a[i] += b[i];
}

void scale(float *values, float by, int n) {
    Lanes *a = reinterpret_cast<Lanes *>(values);
    for (int i = 0; i < n; i++) a[i] *= by;
}

class Worker {
  public:
    explicit Worker(const Word2Vec &model)
        : m(model), n(static_cast<int>(model.stride / LANES)), step(step_for(n)),
          work(n + 1), mean(n + 1), drawn(2 * model.window * model.negatives + model.negatives) {
        std::memset(labels, 0, sizeof labels);
    }

    int64_t job(int64_t first, int64_t last, uint64_t seed, float rate) {
        stream.state = seed;
        learning_rate = rate;
        int64_t trained = 0;
        for (int64_t sentence = first; sentence < last; sentence++) {
            choose(sentence ? m.ends[sentence - 1] : 0, m.ends[sentence]);
            int64_t length = static_cast<int64_t>(kept.size());
            for (int64_t i = 0; i < length; i++) {
                int64_t reach = m.window - (m.shrink ? stream.next() % m.window : 0);
                int64_t from = i > reach ? i - reach : 0;
                int64_t to = i + reach + 1 < length ? i + reach + 1 : length;
                if (m.skip_gram) skip_gram(i, from, to); else bag(i, from, to);
            }
            trained += length;
        }
        return trained;
    }

  private:
    const Word2Vec &m;
    const int n;
    const Step step;
    Stream stream{0};
    float learning_rate = 0;
    std::vector<Lanes> work, mean;
    std::vector<int32_t> drawn, kept;
    float *rows[MOST_TARGETS];
    alignas(64) float labels[MOST_TARGETS + LANES];

    float *input(int64_t word) { return m.input + word * m.stride; }
    float *output(int64_t word) { return m.output + word * m.stride; }
    float *room(std::vector<Lanes> &lanes) { return reinterpret_cast<float *>(lanes.data()); }

    void choose(int64_t start, int64_t stop) {
        kept.clear();
        for (int64_t place = start; place < stop; place++) {
            int32_t word = m.ids[place];
            if (m.keep == nullptr || stream.next() <= m.keep[word]) kept.push_back(word);
        }
    }

    void prefetch(const float *row) {
        for (int i = 0; i < n; i++) __builtin_prefetch(row + i * LANES, 1);
    }

    // A word by its share: the first whose cumulative share reaches the number drawn.
    int32_t draw() {
        uint32_t number = stream.next() % m.cumulative[m.words - 1];
        int32_t word = m.buckets[number >> 15];
        while (m.cumulative[word] < number) word++;
        return word;
    }

    void draw_for(int64_t pairs) {
        for (int64_t i = 0; i < pairs * m.negatives; i++) drawn[i] = draw();
    }

    void prefetch_pair(int64_t pair) {
        for (int64_t k = 0; k < m.negatives; k++) prefetch(output(drawn[pair * m.negatives + k]));
    }

    // The rows that tell the centre from other words, and their labels.
    int targets(int32_t centre, int64_t pair) {
        int count = 0;
        if (m.negatives == 0) {
            for (int64_t p = m.paths[centre]; p < m.paths[centre + 1]; p++) {
                labels[count] = 1.f - m.codes[p];
                rows[count++] = output(m.points[p]);
            }
            return count;
        }
        labels[0] = 1.f;
        rows[count++] = output(centre);
        for (int64_t k = 0; k < m.negatives; k++) {
            int32_t word = drawn[pair * m.negatives + k];
            if (word != centre) {
                labels[count] = 0.f;
                rows[count++] = output(word);
            }
        }
        return count;
    }

    void skip_gram(int64_t i, int64_t from, int64_t to) {
        int64_t pairs = to - from - 1;
        draw_for(pairs);
        if (pairs) prefetch_pair(0);
        for (int64_t j = from, pair = 0; j < to; j++) {
            if (j == i) continue;
            if (pair + 1 < pairs) prefetch_pair(pair + 1);
            float *hidden = input(kept[j]);
            int count = targets(kept[i], pair++);
            step(hidden, rows, labels, count, learning_rate, room(work), n);
            add(hidden, room(work), n);
        }
    }

    void bag(int64_t i, int64_t from, int64_t to) {
        int64_t context = to - from - 1;
        if (context == 0) return;
        draw_for(1);
        prefetch_pair(0);
        float *hidden = room(mean);
        std::memset(hidden, 0, n * sizeof(Lanes));
        for (int64_t j = from; j < to; j++) if (j != i) add(hidden, input(kept[j]), n);
        float share = 1.f / static_cast<float>(context);
        if (m.mean) scale(hidden, share, n);
        int count = targets(kept[i], 0);
        step(hidden, rows, labels, count, learning_rate, room(work), n);
        if (!m.mean) scale(room(work), share, n);
        for (int64_t j = from; j < to; j++) if (j != i) add(input(kept[j]), room(work), n);
    }
};

}  // namespace

// Train jobs, each the sentences [bounds[j], bounds[j + 1]); return the words trained on.
extern "C" int64_t train(const Word2Vec *model, const int64_t *bounds, const uint64_t *seeds,
                         const float *rates, int64_t jobs, int64_t threads) {
    std::atomic<int64_t> next{0}, trained{0};
    auto run = [&] {
        Worker worker(*model);
        for (int64_t j; (j = next++) < jobs;)
            trained += worker.job(bounds[j], bounds[j + 1], seeds[j], rates[j]);
    };
    std::vector<std::thread> pool;
    try {
        for (int64_t t = 1; t < threads; t++) pool.emplace_back(run);
    } catch (const std::system_error &) {
    }  // fewer threads than asked for do all the jobs
    run();
    for (auto &thread : pool) thread.join();
    return trained;
}
