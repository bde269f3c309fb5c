// None of them has much.
// outcome: memory_exceeded
#include <cstdlib>
#include <unistd.h>
int main() {
    for (int n = 0; n < 30; n++)
        if (fork() == 0) {
            volatile char *block = (char *)malloc(100 << 20);
            for (int at = 0; at < 100 << 20; at += 4096) block[at] = 1;
            for (;;) pause();
        }
    for (;;) pause();
}
