// Shared memory that was written and given up is resident nowhere, and stays taken.
// outcome: memory_exceeded
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
int main() {
    const size_t size = 64 << 20, step = 8 << 20;
    for (int n = 0; n < 16; n++) {
        char *block = (char *)mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        for (size_t at = 0; at < size; at += step) {
            memset(block + at, 1, step);
            madvise(block + at, step, MADV_DONTNEED);
        }
    }
    pause();
}
