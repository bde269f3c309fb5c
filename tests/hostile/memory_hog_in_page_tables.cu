// Reads a byte of every 2 MiB: no page of its own, but the kernel's tables of them.
// outcome: memory_exceeded
#include <cstddef>
#include <sys/mman.h>
#include <unistd.h>
int main() {
    const size_t step = 2 << 20, size = (size_t)1 << 30;
    for (int n = 0; n < 320; n++) {
        volatile char *part = (char *)mmap(0, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (part == MAP_FAILED) break;
        for (size_t at = 0; at < size; at += step) part[at];
    }
    pause();
}
