// Files in memory that no process has mapped.
// outcome: memory_exceeded
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>
int main() {
    char *block = (char *)calloc(1, 32 << 20);
    for (;;) { int file = memfd_create("hog", 0); if (write(file, block, 32 << 20) < 0) pause(); }
}
