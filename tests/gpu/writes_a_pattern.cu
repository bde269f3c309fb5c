// Fills the GPU's memory with what the next job is not to see.
// outcome: succeeded
// says: MiB written
#include "check.h"
__global__ void fill(unsigned long long *to, size_t n) {
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) to[i] = 0x7e1e5ec2e7c0ffeeULL;
}
int main() {
    size_t mib = 0, chunk = (size_t)64 << 20;
    unsigned long long *to;
    while (cudaMalloc(&to, chunk) == cudaSuccess) {
        fill<<<1024, 256>>>(to, chunk / 8);
        mib += 64;
    }
    cudaGetLastError();  // that of the chunk that did not fit
    TRY(cudaDeviceSynchronize());
    printf("%zu MiB written\n", mib);
    return mib == 0;
}
