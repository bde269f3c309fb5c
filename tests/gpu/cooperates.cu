// All blocks of a grid wait for each other (a cooperative launch).
// outcome: succeeded
// says: blocks waited for each other
#include "check.h"
#include <cooperative_groups.h>
__global__ void pass_on(int *from, int *to) {
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    if (threadIdx.x == 0) from[blockIdx.x] = blockIdx.x + 1;
    grid.sync();
    if (threadIdx.x == 0) to[blockIdx.x] = from[(blockIdx.x + 1) % gridDim.x];
}
int main() {
    const int threads = 128, most = 4096;
    int can = 0, multiprocessors = 0, on_each = 0, wrong = 0, *from, *to;
    static int back[most];
    TRY(cudaDeviceGetAttribute(&can, cudaDevAttrCooperativeLaunch, 0));
    TRY(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
    TRY(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&on_each, pass_on, threads, 0));
    if (!can || !on_each) { puts("this GPU launches no cooperative kernels"); return 1; }
    int blocks = on_each * multiprocessors < most ? on_each * multiprocessors : most;
    TRY(cudaMalloc(&from, most * sizeof(int)));
    TRY(cudaMalloc(&to, most * sizeof(int)));
    void *arguments[] = {&from, &to};
    TRY(cudaLaunchCooperativeKernel((void *)pass_on, dim3(blocks), dim3(threads), arguments, 0, 0));
    TRY(cudaMemcpy(back, to, blocks * sizeof(int), cudaMemcpyDeviceToHost));
    for (int b = 0; b < blocks; b++) wrong += back[b] != (b + 1) % blocks + 1;
    if (wrong) { printf("%d of %d blocks read too early\n", wrong, blocks); return 1; }
    char words[64];
    snprintf(words, sizeof words, "%d blocks waited for each other", blocks);
    return report(words);
}
