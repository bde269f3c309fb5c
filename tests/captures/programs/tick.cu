#include <cstdio>
#include <cstdlib>
#include <unistd.h>

int main(int argc, char **argv) {
    usleep(atof(argc > 1 ? argv[1] : "1") * 1e6);
    printf("done\n");
}
