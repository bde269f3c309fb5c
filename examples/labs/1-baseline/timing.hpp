// The shortest of several runs, in milliseconds.
#pragma once
#include <algorithm>
#include <chrono>

template <typename Work>
double fastest_ms(int runs, Work work) {
    double best = 1e300;
    for (int run = 0; run < runs; run++) {
        auto began = std::chrono::steady_clock::now();
        work();
        std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
        best = std::min(best, took.count());
    }
    return best;
}
