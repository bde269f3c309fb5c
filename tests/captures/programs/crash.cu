#include <cstdio>
#include <cstdlib>

int main(int argc, char **) {
    printf("reading the matrix\n");
    float *matrix = argc > 5 ? (float *)malloc(64) : nullptr;
    printf("first: %f\n", matrix[3]);
}
