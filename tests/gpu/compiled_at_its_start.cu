// Holds PTX of an older architecture and no machine code, so that the driver compiles it when it starts.
// outcome: succeeded
// says: the driver compiled it
#include "check.h"
__global__ void square(int *of) { of[threadIdx.x] = threadIdx.x * threadIdx.x; }
int main() {
    int back[64], wrong = 0, *on_gpu;
    cudaFuncAttributes about;
    TRY(cudaMalloc(&on_gpu, sizeof back));
    square<<<1, 64>>>(on_gpu);
    TRY(cudaGetLastError());
    TRY(cudaMemcpy(back, on_gpu, sizeof back, cudaMemcpyDeviceToHost));
    for (int i = 0; i < 64; i++) wrong += back[i] != i * i;
    if (wrong) { printf("%d numbers are wrong\n", wrong); return 1; }
    TRY(cudaFuncGetAttributes(&about, square));
    char words[96];
    snprintf(words, sizeof words, "the driver compiled it: PTX %d, machine code %d", about.ptxVersion, about.binaryVersion);
    return report(words);
}
