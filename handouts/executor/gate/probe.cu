#include <cstdio>
__global__ void fill(unsigned *to, unsigned n) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) to[i] = i * 2654435761u;
}
#define TRY(call) do { cudaError_t e = (call); if (e) { printf("%s: %s\n", #call, cudaGetErrorString(e)); return 1; } } while (0)
int main() {
    const unsigned n = 1 << 20;
    static unsigned back[n];
    unsigned *on_gpu;
    TRY(cudaMalloc(&on_gpu, n * sizeof *on_gpu));
    fill<<<64, 256>>>(on_gpu, n);
    TRY(cudaGetLastError());
    TRY(cudaMemcpy(back, on_gpu, n * sizeof *on_gpu, cudaMemcpyDeviceToHost));
    for (unsigned i = 0; i < n; i++)
        if (back[i] != i * 2654435761u) { printf("it computes wrongly\n"); return 1; }
    TRY(cudaFree(on_gpu));
    return 43;
}
