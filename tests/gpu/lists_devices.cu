// Looks for more GPUs than it was given: without CUDA_VISIBLE_DEVICES, and in /dev.
// outcome: succeeded
// says: sees 1 GPU without, sees 1 device file
#include <cstdlib>
#include <cstring>
#include <cctype>
#include <dirent.h>
#include <unistd.h>
#include "check.h"
int main(int argc, char **argv) {
    if (argc == 1) {  // CUDA may have read it already
        unsetenv("CUDA_VISIBLE_DEVICES");
        execl("/proc/self/exe", argv[0], "again", (char *)NULL);
        return 1;
    }
    int devices = 0, files = 0;
    TRY(cudaGetDeviceCount(&devices));
    printf("sees %d GPU without CUDA_VISIBLE_DEVICES\n", devices);
    for (int i = 0; i < devices; i++) {
        cudaDeviceProp p;
        TRY(cudaGetDeviceProperties(&p, i));
        printf("%s, UUID ", p.name);
        for (int b = 0; b < 16; b++) printf("%02x%s", (unsigned char)p.uuid.bytes[b], b == 3 || b == 5 || b == 7 || b == 9 ? "-" : "");
        printf("\n");
    }
    DIR *dev = opendir("/dev");
    while (dirent *entry = readdir(dev))
        files += !strncmp(entry->d_name, "nvidia", 6) && isdigit((unsigned char)entry->d_name[6]);
    printf("sees %d device file\n", files);
    return 0;
}
