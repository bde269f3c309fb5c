// Kernels that start kernels (dynamic parallelism).
// flags: -rdc=true -lcudadevrt
// outcome: succeeded
// says: kernels started by a kernel
#include "check.h"
__global__ void child(int *sum) { atomicAdd(sum, 1); }
__global__ void parent(int *sum, int *failed) {
    child<<<1, 32>>>(sum);
    if (cudaGetLastError() != cudaSuccess) atomicAdd(failed, 1);
}
int main() {
    int *sums, back[2];
    TRY(cudaMalloc(&sums, sizeof back));
    TRY(cudaMemset(sums, 0, sizeof back));
    parent<<<1, 8>>>(&sums[0], &sums[1]);
    TRY(cudaGetLastError());
    TRY(cudaMemcpy(back, sums, sizeof back, cudaMemcpyDeviceToHost));  // waits for parent and children
    if (back[0] != 8 * 32 || back[1]) { printf("%d threads ran instead of %d, %d launches failed\n", back[0], 8 * 32, back[1]); return 1; }
    return report("8 kernels started by a kernel");
}
