#include <cstdio>

int main() {
    int sum = 0
    for (int i = 0; i < 10; i++) sum += square(i);
    printf("%d\n", sum);
}
