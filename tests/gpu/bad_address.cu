// A kernel that writes where nothing is (Xid 31): the program's own fault, and the next job's none.
// outcome: runtime_error
// says: an illegal memory access was encountered
#include "check.h"
__global__ void write(int *to) { to[threadIdx.x] = 1; }
int main() {
    write<<<1, 32>>>((int *)0x10);
    TRY(cudaDeviceSynchronize());
    return 0;
}
