// Blocks that wait for each other forever, with all of the GPU's memory taken, killed in the middle.
// outcome: runtime_timeout
#include "check.h"
__global__ void wait_for_all(int *arrived, int all) {
    if (threadIdx.x == 0) atomicAdd(arrived, 1);
    while (atomicAdd(arrived, 0) < all) ;
}
int main() {
    void *at;
    int *arrived;
    TRY(cudaMalloc(&arrived, sizeof(int)));
    TRY(cudaMemset(arrived, 0, sizeof(int)));
    while (cudaMalloc(&at, (size_t)64 << 20) == cudaSuccess) ;
    cudaGetLastError();
    wait_for_all<<<1 << 20, 1024>>>(arrived, 1 << 20);
    TRY(cudaDeviceSynchronize());
    return 0;
}
