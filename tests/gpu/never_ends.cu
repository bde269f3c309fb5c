// A kernel that never ends, killed in the middle.
// outcome: runtime_timeout
// says: it runs
#include "check.h"
__global__ void spin(volatile int *stop) { while (!*stop) ; }
int main() {
    int *stop;
    TRY(cudaMalloc(&stop, sizeof(int)));
    TRY(cudaMemset(stop, 0, sizeof(int)));
    spin<<<1024, 256>>>(stop);
    TRY(cudaGetLastError());
    puts("it runs");
    fflush(stdout);
    TRY(cudaDeviceSynchronize());
    return 0;
}
