#include <cstdio>
#include <unistd.h>

int main() {
    for (int n = 1;; n++) {
        printf("iteration %d: not converged\n", n);
        sleep(2);
    }
}
