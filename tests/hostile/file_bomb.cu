// A file system full of empty files is memory of the kernel's.
// outcome: memory_exceeded runtime_timeout
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>
int main() {
    char name[32];
    for (int n = 0;; n++) { snprintf(name, sizeof name, "/tmp/%d", n); close(open(name, O_CREAT, 0600)); }
}
