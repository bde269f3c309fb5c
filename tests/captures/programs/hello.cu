#include <cstdio>

int main() {
    printf("hello from a GPU host\n");
}
