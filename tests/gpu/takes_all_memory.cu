// Takes all of the GPU's memory there is, and is told when there is no more.
// outcome: succeeded
// says: then: out of memory
#include <cstdio>
int main() {
    size_t mib = 0;
    void *at;
    cudaError_t error;
    while ((error = cudaMalloc(&at, (size_t)64 << 20)) == cudaSuccess) mib += 64;
    printf("%zu MiB, then: %s\n", mib, cudaGetErrorString(error));
    return mib == 0;
}
