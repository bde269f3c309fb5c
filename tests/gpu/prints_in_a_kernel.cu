// What kernels print is in the log.
// outcome: succeeded
// says: thread 0 of 4, thread 3 of 4
#include "check.h"
__global__ void tell() { printf("thread %d of %d\n", threadIdx.x, blockDim.x); }
int main() {
    tell<<<1, 4>>>();
    TRY(cudaDeviceSynchronize());
    return 0;
}
