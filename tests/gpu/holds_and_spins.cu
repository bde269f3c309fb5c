// Started outside of the executor, to be killed: has most of the GPU's memory, and a kernel that never ends.
#include "check.h"
__global__ void spin(volatile int *stop) { while (!*stop) ; }
int main() {
    size_t free = 0, all = 0;
    int *stop;
    void *at;
    TRY(cudaMalloc(&stop, sizeof(int)));
    TRY(cudaMemset(stop, 0, sizeof(int)));
    TRY(cudaMemGetInfo(&free, &all));
    TRY(cudaMalloc(&at, free - free / 8));
    TRY(cudaMemset(at, 1, free - free / 8));
    TRY(cudaDeviceSynchronize());
    spin<<<1024, 256>>>(stop);
    TRY(cudaGetLastError());
    printf("it spins, with %zu MiB\n", (free - free / 8) >> 20);
    fflush(stdout);
    TRY(cudaDeviceSynchronize());
    return 0;
}
