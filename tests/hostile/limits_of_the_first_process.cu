// It has the same user, and writes the files of out/ into the archive that goes home.
// outcome: succeeded
// says: refused 2
// files: kept
#include <cstdio>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>
int main() {
    rlimit none = {0, 0}, own;
    int refused = (prlimit(1, RLIMIT_FSIZE, &none, 0) < 0) + (prlimit(1, RLIMIT_CPU, &none, 0) < 0);
    printf("refused %d, own %d\n", refused, getrlimit(RLIMIT_FSIZE, &own));
    int file = open("out/kept", O_WRONLY | O_CREAT, 0600);
    return write(file, "x", 1) == 1 ? 0 : 1;
}
