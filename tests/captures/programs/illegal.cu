#include <cstdio>

int main() {  // what checked CUDA programs print, where no GPU is
    printf("launching 4096 blocks\n");
    fprintf(stderr, "CUDA error at illegal.cu:41: an illegal memory access was encountered (700)\n");
    return 1;
}
