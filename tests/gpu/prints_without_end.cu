// Kernels that print without end are stopped at the limit.
// outcome: output_exceeded
#include "check.h"
__global__ void flood() { for (int i = 0; i < 1000; i++) printf("%d %d: a line that is long enough to fill a log in a while\n", threadIdx.x, i); }
int main() {
    for (;;) {
        flood<<<1, 32>>>();
        TRY(cudaDeviceSynchronize());
    }
}
