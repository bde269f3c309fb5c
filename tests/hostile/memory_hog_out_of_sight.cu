// As memory_hog_in_files, but its table of descriptors is hidden from those who look.
// outcome: memory_exceeded
#include <cstdlib>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
int main() {
    prctl(PR_SET_DUMPABLE, 0);
    char *block = (char *)calloc(1, 32 << 20);
    for (int n = 0; n < 32; n++) { int file = memfd_create("hog", 0); if (write(file, block, 32 << 20) < 0) break; }
    pause();
}
