// Started outside of the executor: a process that has no business on its GPU.
#include <unistd.h>
#include "check.h"
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
