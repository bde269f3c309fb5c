// Takes so many MiB of the host's memory, of a kind that the driver gives out, 64 MiB at a time; the GPU reads them.
// arguments: pinned, write-combined, registered or managed; MiB
// outcome: succeeded
// says: and the GPU read them
#include "check.h"
#include <cstdlib>
#include <sys/mman.h>
const size_t CHUNK = (size_t)64 << 20;
__global__ void count(const unsigned char *at, size_t n, unsigned long long *found) {
    unsigned long long mine = 0;
    for (size_t i = (blockIdx.x * (size_t)blockDim.x + threadIdx.x) * 4096; i < n; i += (size_t)gridDim.x * blockDim.x * 4096) mine += at[i] == 0x5a;
    atomicAdd(found, mine);
}
static cudaError_t take(const char *kind, unsigned char **at) {
    if (!strcmp(kind, "pinned")) return cudaHostAlloc((void **)at, CHUNK, cudaHostAllocDefault);
    if (!strcmp(kind, "write-combined")) return cudaHostAlloc((void **)at, CHUNK, cudaHostAllocWriteCombined | cudaHostAllocMapped);
    if (!strcmp(kind, "managed")) return cudaMallocManaged((void **)at, CHUNK, cudaMemAttachGlobal);
    void *mapped = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return cudaErrorMemoryAllocation;
    *at = (unsigned char *)mapped;
    return cudaHostRegister(mapped, CHUNK, cudaHostRegisterMapped);
}
int main(int argc, char **argv) {
    if (argc != 3) { puts("say a kind, and how many MiB"); return 1; }
    size_t wanted = (size_t)atol(argv[2]) << 20, taken = 0;
    unsigned long long *found, told = 0;
    TRY(cudaMalloc(&found, sizeof told));
    TRY(cudaMemset(found, 0, sizeof told));
    TRY(cudaDeviceSynchronize());
    unsigned char *all[1024];
    int chunks = 0;
    for (; taken < wanted && chunks < 1024; taken += CHUNK, chunks++) {
        TRY(take(argv[1], &all[chunks]));
        memset(all[chunks], 0x5a, CHUNK);  // the host has it now, every page
        if (taken % ((size_t)512 << 20) == 0) { printf("%zu MiB so far\n", taken >> 20); fflush(stdout); }
    }
    for (int i = 0; i < chunks; i++) {
        unsigned char *seen = all[i];  // managed memory has one address, others may have another on the GPU
        if (strcmp(argv[1], "managed")) TRY(cudaHostGetDevicePointer((void **)&seen, all[i], 0));
        count<<<256, 64>>>(seen, CHUNK, found);
        TRY(cudaGetLastError());
    }
    TRY(cudaMemcpy(&told, found, sizeof told, cudaMemcpyDeviceToHost));
    if (told != (taken >> 12)) { printf("the GPU read %llu pages of %zu\n", told, taken >> 12); return 1; }
    char words[128];
    snprintf(words, sizeof words, "%zu MiB of %s memory, and the GPU read them", taken >> 20, argv[1]);
    return report(words);
}
