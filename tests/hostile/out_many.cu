// More files than a list of them could hold.
// outcome: succeeded memory_exceeded runtime_timeout
// most_files: 16
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>
int main() {
    char name[32];
    for (int n = 0; n < 100000; n++) { snprintf(name, sizeof name, "out/%06d", n); close(open(name, O_CREAT, 0600)); }
}
