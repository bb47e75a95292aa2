// Threads that run one function together, meeting at barriers: those that OpenMP keeps for torch, so
// that no two pools compete for the same cores. Without OpenMP in the process one thread runs alone.

#pragma once

#include <atomic>
#include <cstdint>

#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#include <sched.h>
#endif

namespace {

struct Member {
    int64_t id, size;
    std::atomic<int64_t> *arrived;
    int64_t phase = 0;

    // Waits for all members: spins while it is short, then lets others run.
    void meet() {
        phase += size;
        if (size == 1) return;
        arrived->fetch_add(1, std::memory_order_acq_rel);
        for (int64_t spins = 0; arrived->load(std::memory_order_acquire) < phase; spins++) {
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
            if (spins > 4000) sched_yield();
        }
    }

    // This member's share of `count` pieces.
    int64_t first(int64_t count) const { return count * id / size; }
    int64_t end(int64_t count) const { return count * (id + 1) / size; }
};

template <class Body>
struct Job {
    Body *body;
    int (*team_size)(), (*team_member)();
    std::atomic<int64_t> arrived{0};

    static void run(void *self) {
        Job &job = *static_cast<Job *>(self);
        (*job.body)(Member{job.team_member(), job.team_size(), &job.arrived});
    }
};

// Calls body(member) in up to `threads` threads.
template <class Body>
void together(int64_t threads, Body body) {
    using Start = void (*)(void (*)(void *), void *, unsigned, unsigned);
    const auto find = [](const char *name) { return dlsym(RTLD_DEFAULT, name); };
    static const auto start = reinterpret_cast<Start>(find("GOMP_parallel"));
    static const auto size = reinterpret_cast<int (*)()>(find("omp_get_num_threads"));
    static const auto member = reinterpret_cast<int (*)()>(find("omp_get_thread_num"));
    if (threads < 2 || !start || !size || !member) {
        std::atomic<int64_t> arrived{0};
        body(Member{0, 1, &arrived});
        return;
    }
    Job<Body> job{&body, size, member};
    start(&Job<Body>::run, &job, static_cast<unsigned>(threads), 0);
}

}  // namespace
