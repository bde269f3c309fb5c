// A file that is large and takes no room, as large as may be, and a terabyte.
// outcome: succeeded
// files: small
// left_out: sparse
// says: no terabyte
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>
int main() {
    signal(SIGXFSZ, SIG_IGN);
    int file = open("out/sparse", O_CREAT | O_WRONLY, 0600);
    if (ftruncate(file, 1ll << 40)) puts("no terabyte");
    (void)!ftruncate(file, 60 << 20);
    (void)!ftruncate(open("out/small", O_CREAT | O_WRONLY, 0600), 4096);
}
