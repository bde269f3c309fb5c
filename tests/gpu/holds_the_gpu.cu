// Started outside of the executor: a process that has no business on its GPU.
#include <cstdio>
#include <unistd.h>
#define TRY(call) do { cudaError_t e_ = (call); if (e_ != cudaSuccess) { printf("%s: %s\n", #call, cudaGetErrorString(e_)); return 1; } } while (0)
int main() {
    void *at;
    TRY(cudaMalloc(&at, (size_t)256 << 20));
    TRY(cudaMemset(at, 1, (size_t)256 << 20));
    TRY(cudaDeviceSynchronize());
    puts("it holds the GPU");
    fflush(stdout);
    pause();
    return 0;
}
