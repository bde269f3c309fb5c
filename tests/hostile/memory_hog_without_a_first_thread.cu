// The kernel tells nothing of a process's memory under the number of a thread that ended.
// outcome: memory_exceeded
#include <cstdlib>
#include <pthread.h>
#include <unistd.h>
static void *hog(void *) {
    sleep(1);
    const size_t size = (size_t)1 << 30;
    volatile char *block = (char *)malloc(size);
    for (size_t at = 0; at < size; at += 4096) block[at] = 1;
    for (;;) pause();
}
int main() { pthread_t thread; pthread_create(&thread, 0, hog, 0); pthread_exit(0); }
