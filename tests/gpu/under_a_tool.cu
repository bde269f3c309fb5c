// Runs itself under a tool: its arguments are the tool with its own.
// outcome: succeeded runtime_error
#include "check.h"
#include <cerrno>
#include <climits>
#include <unistd.h>
__global__ void square(int *of) { of[threadIdx.x] = threadIdx.x * threadIdx.x; }
int main(int argc, char **argv) {
    char self[PATH_MAX] = "", again[] = "again", *command[64];
    if (argc > 1 && argc < 60 && strcmp(argv[1], again)) {
        if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) { perror("/proc/self/exe"); return 1; }
        for (int i = 1; i < argc; i++) command[i - 1] = argv[i];
        command[argc - 1] = self;
        command[argc] = again;
        command[argc + 1] = NULL;
        execv(command[0], command);
        printf("%s cannot be started: %s\n", command[0], strerror(errno));
        return 1;
    }
    int back[64], wrong = 0, *on_gpu;
    TRY(cudaMalloc(&on_gpu, sizeof back));
    square<<<1, 64>>>(on_gpu);
    TRY(cudaGetLastError());
    TRY(cudaMemcpy(back, on_gpu, sizeof back, cudaMemcpyDeviceToHost));
    TRY(cudaFree(on_gpu));
    for (int i = 0; i < 64; i++) wrong += back[i] != i * i;
    puts(wrong ? "wrong" : "it computed");
    return wrong != 0;
}
