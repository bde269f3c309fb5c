// CUDA starts, computes, and gives the right numbers back.
// outcome: succeeded
// says: all right on 1 GPU
#include <vector>
#include "check.h"
__global__ void square(int *of, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) of[i] = i * i;
}
int main() {
    const int n = 1 << 14;
    int devices = 0, wrong = 0, *on_gpu;
    std::vector<int> back(n);
    TRY(cudaGetDeviceCount(&devices));
    TRY(cudaMalloc(&on_gpu, n * sizeof(int)));
    square<<<n / 256, 256>>>(on_gpu, n);
    TRY(cudaGetLastError());
    TRY(cudaMemcpy(back.data(), on_gpu, n * sizeof(int), cudaMemcpyDeviceToHost));
    for (int i = 0; i < n; i++) wrong += back[i] != i * i;
    printf("%s on %d GPU\n", wrong ? "wrong" : "all right", devices);
    return wrong != 0;
}
