// Kernels that print without end are stopped at the limit.
// outcome: output_exceeded
#include <cstdio>
#define TRY(call) do { cudaError_t e_ = (call); if (e_ != cudaSuccess) { printf("%s: %s\n", #call, cudaGetErrorString(e_)); return 1; } } while (0)
__global__ void flood() { for (int i = 0; i < 1000; i++) printf("%d %d: a line that is long enough to fill a log in a while\n", threadIdx.x, i); }
int main() {
    for (;;) {
        flood<<<1, 32>>>();
        TRY(cudaDeviceSynchronize());
    }
}
