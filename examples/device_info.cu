// Prints what the GPU is that this program was given.
#include <cstdio>

int main() {
    int devices = 0, driver = 0, runtime = 0;
    cudaRuntimeGetVersion(&runtime);
    cudaDriverGetVersion(&driver);
    printf("CUDA runtime %d.%d, driver supports %d.%d\n", runtime / 1000, runtime % 1000 / 10, driver / 1000,
           driver % 1000 / 10);
    cudaError_t error = cudaGetDeviceCount(&devices);
    if (error != cudaSuccess || devices == 0) {
        printf("There is no GPU for this program here: %s.\n", cudaGetErrorString(error));
        return 0;
    }
    printf("%d GPU%s visible\n", devices, devices == 1 ? "" : "s");
    for (int i = 0; i < devices; i++) {
        cudaDeviceProp p;
        if (cudaGetDeviceProperties(&p, i) != cudaSuccess) continue;
        printf("%d: %s, compute capability %d.%d, %d multiprocessors, %.1f GiB, %zu KiB shared memory a block\n", i,
               p.name, p.major, p.minor, p.multiProcessorCount, p.totalGlobalMem / 1073741824.0,
               p.sharedMemPerBlock / 1024);
    }
    return 0;
}
