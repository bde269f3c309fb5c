// Says hello from the GPU: the first program to submit.
#include <cstdio>

__global__ void hello() { printf("Hello from block %d, thread %d of the GPU.\n", blockIdx.x, threadIdx.x); }

int main() {
    int devices = 0;
    cudaError_t error = cudaGetDeviceCount(&devices);
    if (error != cudaSuccess || devices == 0) {
        printf("Hello from the host. There is no GPU for this program here: %s.\n", cudaGetErrorString(error));
        return 0;
    }
    hello<<<2, 4>>>();
    error = cudaDeviceSynchronize();
    if (error != cudaSuccess) {
        printf("The kernel failed: %s.\n", cudaGetErrorString(error));
        return 1;
    }
    return 0;
}
