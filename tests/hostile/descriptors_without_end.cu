// More descriptors than the executor can look at: it would look for so long that it sees nothing else.
// outcome: memory_exceeded
#include <unistd.h>
int main() {
    for (int n = 0; n < 32; n++) if (!fork()) { while (dup(2) >= 0) {} for (;;) pause(); }
    for (;;) pause();
}
