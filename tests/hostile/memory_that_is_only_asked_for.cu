// CUDA reserves far more address space than it uses; that is no fault.
// outcome: succeeded
// says: reserved
#include <cstdio>
#include <sys/mman.h>
int main() {
    void *p = mmap(0, 1ull << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    puts(p == MAP_FAILED ? "refused" : "reserved");
}
