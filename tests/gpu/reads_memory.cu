// Looks through all the GPU's memory, as it is given out, for what writes_a_pattern.cu wrote.
// outcome: succeeded
// says: found 0 words of the last job
#include "check.h"
__global__ void look(const unsigned long long *at, size_t n, unsigned long long *found) {
    unsigned long long mine = 0, other = 0;
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) {
        mine += at[i] == 0x7e1e5ec2e7c0ffeeULL;
        other += at[i] != 0;
    }
    atomicAdd(&found[0], mine);
    atomicAdd(&found[1], other);
}
int main() {
    size_t mib = 0, chunk = (size_t)64 << 20;
    unsigned long long *at, *found, told[2];
    TRY(cudaMalloc(&found, sizeof told));
    TRY(cudaMemset(found, 0, sizeof told));
    while (cudaMalloc(&at, chunk) == cudaSuccess) {
        look<<<1024, 256>>>(at, chunk / 8, found);
        mib += 64;
    }
    cudaGetLastError();
    TRY(cudaMemcpy(told, found, sizeof told, cudaMemcpyDeviceToHost));
    printf("found %llu words of the last job, %llu that are not zero, in %zu MiB\n", told[0], told[1], mib);
    return mib == 0;
}
