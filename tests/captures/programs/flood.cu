#include <cstdio>

int main() {
    for (int n = 0; n < 250000; n++) printf("pixel %d: 0.5 0.25 0.125\n", n);
}
