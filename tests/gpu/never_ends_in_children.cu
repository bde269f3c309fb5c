// The same in four processes, which their parent does not wait for.
// outcome: succeeded runtime_timeout
#include <unistd.h>
#include "check.h"
__global__ void spin(volatile int *stop) { while (!*stop) ; }
int main() {
    for (int n = 0; n < 4; n++) {
        if (fork()) continue;
        int *stop;
        setsid();
        TRY(cudaMalloc(&stop, sizeof(int)));
        TRY(cudaMemset(stop, 0, sizeof(int)));
        spin<<<64, 256>>>(stop);
        TRY(cudaDeviceSynchronize());
        return 0;
    }
    sleep(2);  // they are started by then
    return 0;
}
