// Files in memory alone that nobody has open: they are mapped, and never touched.
// outcome: memory_exceeded
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>
int main() {
    const size_t size = 32 << 20;
    char *block = (char *)calloc(1, size);
    for (int n = 0; n < 32; n++) {
        int file = memfd_create("hog", 0);
        if (write(file, block, size) < 0) break;
        mmap(0, size, PROT_READ, MAP_SHARED, file, 0);
        close(file);
    }
    pause();
}
