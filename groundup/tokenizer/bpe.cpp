// Byte-pair encoding as defined by bpe.py: split and count pieces, learn merges, encode texts.
//
// Texts are passed as concatenated UTF-8 with their end offsets; they are distributed over threads,
// and the results do not depend on how. Python passes the table of character classes (letter,
// number, space, line end), so that both sides split alike.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <queue>
#include <thread>
#include <vector>

namespace {

using Byte = uint8_t;
enum Class : Byte { LETTER = 1, NUMBER = 2, SPACE = 4, NEWLINE = 8 };
enum Pattern : int32_t { QWEN2 = 0, GPT2 = 1 };

struct Texts {
    const Byte* bytes;
    const int64_t* ends;
    int64_t count;
    int64_t start(int64_t text) const { return text ? ends[text - 1] : 0; }
};

// ---- splitting ----

struct Cutter {
    const Byte* classes;
    int32_t pattern;

    // Class of the code point at p, and its number of bytes.
    Byte look(const Byte* p, int& size) const {
        if (p[0] < 0x80) { size = 1; return classes[p[0]]; }
        uint32_t c;
        if (p[0] < 0xE0) { size = 2; c = (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu); }
        else if (p[0] < 0xF0) { size = 3; c = (p[0] & 0xFu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu); }
        else { size = 4; c = (p[0] & 7u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu); }
        return classes[c];
    }

    // End of a run of code points whose class has a bit of `any` and none of `none`.
    const Byte* run(const Byte* p, const Byte* end, Byte any, Byte none = 0) const {
        int size;
        while (p < end) {
            const Byte found = look(p, size);
            if (!(found & any) || (found & none)) break;
            p += size;
        }
        return p;
    }

    const Byte* others(const Byte* p, const Byte* end) const {
        int size;
        while (p < end && !(look(p, size) & (LETTER | NUMBER | SPACE))) p += size;
        return p;
    }

    // 's 't 're 've 'm 'll 'd; case-insensitive for QWEN2.
    const Byte* contraction(const Byte* p, const Byte* end) const {
        if (*p != '\'' || p + 1 >= end) return p;
        const Byte fold = pattern == QWEN2 ? 0x20 : 0;
        const Byte a = p[1] | fold, b = p + 2 < end ? p[2] | fold : 0;
        if (p[1] >= 0x80) return p;
        if (a == 's' || a == 't' || a == 'm' || a == 'd') return p + 2;
        if (b < 0x80 && ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))) return p + 3;
        return p;
    }

    // End of the piece that begins at p; p < end.
    const Byte* piece(const Byte* p, const Byte* end) const {
        const Byte* next = contraction(p, end);
        if (next != p) return next;
        int size, after = 0;
        const Byte first = look(p, size);
        const Byte second = p + size < end ? look(p + size, after) : 0;
        const bool more = p + size < end;
        if (pattern == QWEN2) {
            if (first & LETTER) return run(p, end, LETTER);
            if (more && (second & LETTER) && !(first & (NEWLINE | NUMBER))) return run(p + size, end, LETTER);
            if (first & NUMBER) return p + size;
            const Byte* begin = *p == ' ' ? p + 1 : p;
            const Byte* stop = others(begin, end);
            if (stop != begin) return run(stop, end, NEWLINE);
            return space(p, end, true);
        }
        const Byte* begin = *p == ' ' && more ? p + 1 : p;
        const Byte kind = begin == p ? first : second;
        if (kind & LETTER) return run(begin, end, LETTER);
        if (kind & NUMBER) return run(begin, end, NUMBER, LETTER);
        if (!(kind & SPACE)) return others(begin, end);
        return space(p, end, false);
    }

    // \s*[\r\n]+ | \s+(?!\S) | \s+
    const Byte* space(const Byte* p, const Byte* end, bool by_lines) const {
        const Byte *last = p, *line = nullptr, *q = p;
        int size;
        while (q < end) {
            const Byte found = look(q, size);
            if (!(found & SPACE)) break;
            last = q;
            q += size;
            if (found & NEWLINE) line = q;
        }
        if (by_lines && line) return line;
        return q == end || last == p ? q : last;
    }
};

uint64_t hash_of(const Byte* p, int64_t size) {
    uint64_t h = 0x9E3779B97F4A7C15ull ^ static_cast<uint64_t>(size);
    while (size >= 8) {
        uint64_t word;
        std::memcpy(&word, p, 8);
        h = (h ^ word) * 0xD6E8FEB86659FD93ull;
        h ^= h >> 32;
        p += 8;
        size -= 8;
    }
    uint64_t word = 0;
    std::memcpy(&word, p, size);
    h = (h ^ word) * 0xD6E8FEB86659FD93ull;
    h ^= h >> 29;
    h *= 0xD6E8FEB86659FD93ull;
    return h ^ h >> 32;
}

// ---- counting ----

struct Table {
    struct Slot { uint64_t hash; int64_t place, size, count; };
    std::vector<Slot> slots = std::vector<Slot>(1 << 12, Slot{0, 0, 0, 0});
    std::vector<Byte> arena;
    int64_t used = 0;

    void add(const Byte* p, int64_t size, int64_t count) {
        const uint64_t hash = hash_of(p, size);
        Slot& slot = find(hash, p, size);
        if (!slot.count) {
            slot = {hash, static_cast<int64_t>(arena.size()), size, 0};
            arena.insert(arena.end(), p, p + size);
            used++;
        }
        slot.count += count;
        if (used * 2 > static_cast<int64_t>(slots.size())) grow();
    }

    Slot& find(uint64_t hash, const Byte* p, int64_t size) {
        uint64_t at = hash & (slots.size() - 1);
        while (slots[at].count) {
            const Slot& s = slots[at];
            if (s.hash == hash && s.size == size && !std::memcmp(arena.data() + s.place, p, size)) break;
            at = (at + 1) & (slots.size() - 1);
        }
        return slots[at];
    }

    void grow() {
        std::vector<Slot> old(slots.size() * 2, Slot{0, 0, 0, 0});
        old.swap(slots);
        for (const Slot& s : old) {
            if (!s.count) continue;
            uint64_t at = s.hash & (slots.size() - 1);
            while (slots[at].count) at = (at + 1) & (slots.size() - 1);
            slots[at] = s;
        }
    }
};

struct Counter {
    std::vector<Table> tables = std::vector<Table>(1);

    Table& merged() {
        for (size_t i = 1; i < tables.size(); i++)
            for (const auto& s : tables[i].slots)
                if (s.count) tables[0].add(tables[i].arena.data() + s.place, s.size, s.count);
        tables.resize(1);
        return tables[0];
    }
};

// Call work(text, thread) for every text; idle threads take the next text.
template <class Work> void spread(const Texts& texts, int64_t threads, Work work) {
    threads = std::max<int64_t>(1, std::min(threads, texts.count));
    std::atomic<int64_t> next{0};
    auto loop = [&](int64_t thread) {
        for (int64_t text = next++; text < texts.count; text = next++) work(text, thread);
    };
    std::vector<std::thread> started;
    for (int64_t thread = 1; thread < threads; thread++) started.emplace_back(loop, thread);
    loop(0);
    for (auto& one : started) one.join();
}

// ---- learning ----

uint64_t key_of(int32_t a, int32_t b) { return static_cast<uint64_t>(a) << 32 | static_cast<uint32_t>(b); }

struct PairMap {
    static constexpr uint64_t NONE = ~0ull;
    struct Slot { uint64_t key; int64_t value; };
    std::vector<Slot> slots = std::vector<Slot>(1 << 14, Slot{NONE, 0});
    int64_t used = 0;

    static uint64_t mix(uint64_t key) { key *= 0x9E3779B97F4A7C15ull; return key ^ key >> 29; }

    int64_t* find(uint64_t key) {
        uint64_t at = mix(key) & (slots.size() - 1);
        while (slots[at].key != NONE) {
            if (slots[at].key == key) return &slots[at].value;
            at = (at + 1) & (slots.size() - 1);
        }
        return nullptr;
    }
    const int64_t* find(uint64_t key) const { return const_cast<PairMap*>(this)->find(key); }

    void put(uint64_t key, int64_t value) {
        if (used * 2 >= static_cast<int64_t>(slots.size())) {
            std::vector<Slot> old(slots.size() * 2, Slot{NONE, 0});
            old.swap(slots);
            used = 0;
            for (const Slot& s : old) if (s.key != NONE) put(s.key, s.value);
        }
        uint64_t at = mix(key) & (slots.size() - 1);
        while (slots[at].key != NONE) at = (at + 1) & (slots.size() - 1);
        slots[at] = {key, value};
        used++;
    }
};

struct Learner {
    struct Pair { int64_t count = 0, stamp = -1; std::vector<int32_t> places; };
    struct Entry {
        int64_t count;
        uint64_t key;
        bool operator<(const Entry& o) const { return count != o.count ? count < o.count : key > o.key; }
    };
    std::vector<int32_t> ids;
    std::vector<int64_t> starts, counts;
    std::vector<int32_t> sizes;
    PairMap where;
    std::vector<Pair> pairs;
    std::priority_queue<Entry> heap;
    std::vector<uint64_t> made;

    Learner(const Table& table, const int32_t* byte_ids) {
        for (const auto& s : table.slots) {
            if (!s.count) continue;
            starts.push_back(ids.size());
            sizes.push_back(s.size);
            counts.push_back(s.count);
            for (int64_t i = 0; i < s.size; i++) ids.push_back(byte_ids[table.arena[s.place + i]]);
        }
        for (size_t word = 0; word < starts.size(); word++)
            for (int32_t i = 0; i + 1 < sizes[word]; i++) {
                const int32_t* at = &ids[starts[word] + i];
                add(at[0], at[1], word, counts[word]);
            }
        for (const auto& s : where.slots) if (s.key != PairMap::NONE) heap.push({pairs[s.value].count, s.key});
    }

    Pair& of(uint64_t key) {
        if (int64_t* found = where.find(key)) return pairs[*found];
        where.put(key, pairs.size());
        pairs.emplace_back();
        return pairs.back();
    }

    Pair& add(int32_t a, int32_t b, int32_t word, int64_t count) {
        Pair& pair = of(key_of(a, b));
        pair.count += count;
        if (pair.places.empty() || pair.places.back() != word) pair.places.push_back(word);
        return pair;
    }

    void make(int32_t a, int32_t b, int32_t word, int64_t merge) {
        Pair& pair = add(a, b, word, counts[word]);
        if (pair.stamp != merge) { pair.stamp = merge; made.push_back(key_of(a, b)); }
    }

    void join(uint64_t key, int32_t joined, int64_t merge) {
        const int32_t a = key >> 32, b = static_cast<int32_t>(key);
        std::vector<int32_t> places;
        places.swap(of(key).places);
        made.clear();
        for (const int32_t word : places) {
            int32_t* w = &ids[starts[word]];
            const int32_t n = sizes[word];
            int32_t out = 0;
            for (int32_t i = 0; i < n;) {
                if (i + 1 >= n || w[i] != a || w[i + 1] != b) { w[out++] = w[i++]; continue; }
                if (out) { of(key_of(w[out - 1], a)).count -= counts[word]; make(w[out - 1], joined, word, merge); }
                if (i + 2 < n) { of(key_of(b, w[i + 2])).count -= counts[word]; make(joined, w[i + 2], word, merge); }
                w[out++] = joined;
                i += 2;
            }
            sizes[word] = out;
        }
        of(key).count = 0;
        for (const uint64_t one : made) heap.push({of(one).count, one});
    }

    int64_t learn(int64_t wanted, int32_t* out) {
        int64_t merges = 0;
        while (merges < wanted && !heap.empty()) {
            const Entry top = heap.top();
            heap.pop();
            const int64_t count = of(top.key).count;
            if (count <= 0) continue;
            if (count != top.count) { heap.push({count, top.key}); continue; }
            join(top.key, 256 + merges, merges);
            out[2 * merges] = top.key >> 32;
            out[2 * merges + 1] = static_cast<int32_t>(top.key);
            merges++;
        }
        return merges;
    }
};

// ---- encoding ----

struct Cache {
    static constexpr int KEY = 30, IDS = 8, SLOTS = 1 << 15;
    struct Slot { uint64_t hash; Byte size, count, key[KEY]; int32_t ids[IDS]; };
    std::vector<Slot> slots = std::vector<Slot>(SLOTS, Slot{});
    std::vector<int32_t> ids, ranks, before, after;
};

struct Encoder {
    PairMap merges;  // pair -> rank << 32 | id
    int32_t byte_ids[256];
    std::mutex lock;
    std::vector<std::unique_ptr<Cache>> free;

    int64_t merge(int32_t a, int32_t b) const {
        const int64_t* found = merges.find(key_of(a, b));
        return found ? *found : INT64_MAX;
    }

    std::unique_ptr<Cache> take() {
        std::lock_guard<std::mutex> guard(lock);
        if (free.empty()) return std::make_unique<Cache>();
        auto cache = std::move(free.back());
        free.pop_back();
        return cache;
    }
    void give(std::unique_ptr<Cache> cache) {
        std::lock_guard<std::mutex> guard(lock);
        free.push_back(std::move(cache));
    }

    int32_t* piece(const Byte* p, int64_t size, int32_t* out, Cache& cache) const {
        if (size == 1) { *out = byte_ids[*p]; return out + 1; }
        if (size > Cache::KEY) return join(p, size, out, cache);
        const uint64_t hash = hash_of(p, size);
        auto& slot = cache.slots[hash & (Cache::SLOTS - 1)];
        if (slot.hash == hash && slot.size == size && !std::memcmp(slot.key, p, size)) {
            std::memcpy(out, slot.ids, sizeof slot.ids);  // there is room: see encode
            return out + slot.count;
        }
        int32_t* end = join(p, size, out, cache);
        if (end - out <= Cache::IDS) {
            slot.hash = hash;
            slot.size = size;
            slot.count = end - out;
            std::memcpy(slot.key, p, size);
            std::memcpy(slot.ids, out, (end - out) * sizeof *out);
        }
        return end;
    }

    int32_t* join(const Byte* p, int64_t size, int32_t* out, Cache& cache) const {
        return size <= 64 ? join_few(p, size, out) : join_many(p, size, out, cache);
    }

    int32_t* join_few(const Byte* p, int64_t size, int32_t* out) const {
        int64_t found[64];
        int n = size;
        for (int i = 0; i < n; i++) out[i] = byte_ids[p[i]];
        for (int i = 0; i + 1 < n; i++) found[i] = merge(out[i], out[i + 1]);
        while (n > 1) {
            int best = 0;
            for (int i = 1; i + 1 < n; i++) if (found[i] < found[best]) best = i;
            if (found[best] == INT64_MAX) break;
            out[best] = static_cast<int32_t>(found[best]);
            std::memmove(out + best + 1, out + best + 2, (n - best - 2) * sizeof *out);
            if (best + 2 < n) std::memmove(found + best, found + best + 1, (n - best - 2) * sizeof *found);
            n--;
            if (best) found[best - 1] = merge(out[best - 1], out[best]);
            if (best + 1 < n) found[best] = merge(out[best], out[best + 1]);
        }
        return out + n;
    }

    // A long piece: neighbours as a linked list, candidates in a heap by (rank, position).
    int32_t* join_many(const Byte* p, int64_t size, int32_t* out, Cache& cache) const {
        struct Candidate {
            int64_t merge; int32_t place, left, right;
            bool operator<(const Candidate& o) const {
                const int64_t a = merge >> 32, b = o.merge >> 32;
                return a != b ? a > b : place > o.place;
            }
        };
        auto &ids = cache.ids, &before = cache.before, &after = cache.after;
        ids.resize(size); before.resize(size); after.resize(size);
        for (int64_t i = 0; i < size; i++) { ids[i] = byte_ids[p[i]]; before[i] = i - 1; after[i] = i + 1 < size ? i + 1 : -1; }
        std::priority_queue<Candidate> heap;
        auto push = [&](int32_t place) {
            if (place < 0 || after[place] < 0) return;
            const int32_t left = ids[place], right = ids[after[place]];
            const int64_t found = merge(left, right);
            if (found != INT64_MAX) heap.push({found, place, left, right});
        };
        for (int64_t i = 0; i + 1 < size; i++) push(i);
        while (!heap.empty()) {
            const Candidate top = heap.top();
            heap.pop();
            const int32_t next = ids[top.place] == top.left ? after[top.place] : -1;
            if (next < 0 || ids[next] != top.right) continue;
            ids[top.place] = static_cast<int32_t>(top.merge);
            ids[next] = -1;
            after[top.place] = after[next];
            if (after[next] >= 0) before[after[next]] = top.place;
            push(before[top.place]);
            push(top.place);
        }
        for (int32_t i = 0; i >= 0; i = after[i]) *out++ = ids[i];
        return out;
    }
};

}  // namespace

extern "C" {

void* counter_new() { return new Counter; }
void counter_free(void* counter) { delete static_cast<Counter*>(counter); }

void counter_add(void* counter, const Byte* bytes, const int64_t* ends, int64_t count,
                 const Byte* classes, int32_t pattern, int64_t threads) {
    auto& tables = static_cast<Counter*>(counter)->tables;
    if (static_cast<int64_t>(tables.size()) < threads) tables.resize(threads);
    const Texts texts{bytes, ends, count};
    const Cutter cut{classes, pattern};
    spread(texts, threads, [&](int64_t text, int64_t thread) {
        const Byte *p = bytes + texts.start(text), *end = bytes + ends[text];
        while (p < end) {
            const Byte* next = cut.piece(p, end);
            tables[thread].add(p, next - p, 1);
            p = next;
        }
    });
}

// Number of distinct pieces, and their total bytes.
void counter_sizes(void* counter, int64_t* pieces, int64_t* bytes) {
    const Table& table = static_cast<Counter*>(counter)->merged();
    *pieces = table.used;
    *bytes = table.arena.size();
}

void counter_read(void* counter, Byte* bytes, int64_t* ends, int64_t* counts) {
    const Table& table = static_cast<Counter*>(counter)->merged();
    int64_t place = 0, end = 0;
    for (const auto& s : table.slots) {
        if (!s.count) continue;
        std::memcpy(bytes + end, table.arena.data() + s.place, s.size);
        ends[place] = end += s.size;
        counts[place++] = s.count;
    }
}

int64_t counter_learn(void* counter, const int32_t* byte_ids, int64_t wanted, int32_t* out) {
    return Learner(static_cast<Counter*>(counter)->merged(), byte_ids).learn(wanted, out);
}

void* encoder_new(const int32_t* byte_ids, const int32_t* pairs, const int32_t* joined, int64_t count) {
    auto* encoder = new Encoder;
    std::copy(byte_ids, byte_ids + 256, encoder->byte_ids);
    for (int64_t rank = 0; rank < count; rank++) {
        const uint64_t key = key_of(pairs[2 * rank], pairs[2 * rank + 1]);
        const int64_t value = rank << 32 | joined[rank];
        if (int64_t* there = encoder->merges.find(key)) *there = value;
        else encoder->merges.put(key, value);
    }
    return encoder;
}
void encoder_free(void* encoder) { delete static_cast<Encoder*>(encoder); }

// Write the ids of text i from out[its first byte + 8 * i] on, and their number to counts[i].
void encoder_encode(void* handle, const Byte* bytes, const int64_t* ends, int64_t count,
                    const Byte* classes, int32_t pattern, int64_t threads, int32_t* out, int64_t* counts) {
    auto& encoder = *static_cast<Encoder*>(handle);
    const Texts texts{bytes, ends, count};
    const Cutter cut{classes, pattern};
    std::vector<std::unique_ptr<Cache>> caches;
    for (int64_t i = 0; i < std::max<int64_t>(1, threads); i++) caches.push_back(encoder.take());
    spread(texts, threads, [&](int64_t text, int64_t thread) {
        const Byte *p = bytes + texts.start(text), *end = bytes + ends[text];
        int32_t* const begin = out + texts.start(text) + Cache::IDS * text;
        int32_t* at = begin;
        while (p < end) {
            const Byte* next = cut.piece(p, end);
            at = encoder.piece(p, next - p, at, *caches[thread]);
            p = next;
        }
        counts[text] = at - begin;
    });
    for (auto& cache : caches) encoder.give(std::move(cache));
}

}
