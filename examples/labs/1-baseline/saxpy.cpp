// Lab 1: y = a x + y on the CPU, plain and as the compiler makes it with the widest vectors here.
//     python3 submit.py examples/labs/1-baseline/saxpy.cpp
// telerun: --flag=-march=native --flag=-fopenmp-simd
#include <cmath>
#include <cstdio>
#include <vector>

#include "timing.hpp"

#if defined(__AVX512F__)
const char *const VECTORS = "AVX-512";
#elif defined(__AVX2__)
const char *const VECTORS = "AVX2";
#else
const char *const VECTORS = "no wide vectors";
#endif

__attribute__((optimize("no-tree-vectorize"))) static void plain(float a, const float *x, float *y,
                                                                 int n) {
    for (int i = 0; i < n; i++) y[i] += a * x[i];
}

static void wide(float a, const float *x, float *y, int n) {
#pragma omp simd
    for (int i = 0; i < n; i++) y[i] += a * x[i];
}

int main() {
    const int n = 1 << 20, runs = 20;
    std::vector<float> x(n, 1.0f), y(n, 2.0f);
    double slow = fastest_ms(runs, [&] { plain(0.5f, x.data(), y.data(), n); });
    double fast = fastest_ms(runs, [&] { wide(0.5f, x.data(), y.data(), n); });
    int wrong = 0;
    for (float value : y) wrong += std::fabs(value - (2.0f + runs * 2 * 0.5f)) > 1e-3f;
    printf("%s: plain %.3f ms, wide %.3f ms (%s).\n", wrong ? "FAILED" : "PASSED", slow, fast, VECTORS);
    return wrong ? 1 : 0;
}
