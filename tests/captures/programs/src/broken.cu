#include "tile.cuh"

__global__ void scale(float *x, float by, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x
    if (i < n) x[i] *= by;
}

int main() {
    scale<<<1, 32>>>(nullptr, 2.0f, TILE);
    return cudaDeviceSynchronise();
}
