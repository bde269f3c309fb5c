#include <cstdio>

static void write(const char *name, int bytes) {
    FILE *file = fopen(name, "wb");
    for (int n = 0; n < bytes; n++) fputc(n, file);
    fclose(file);
}

int main() {
    char name[32];
    for (int frame = 0; frame < 20; frame++) {
        snprintf(name, sizeof name, "out/frame-%02d.ppm", frame);
        write(name, 30000);
    }
    write("results.txt", 12288);
    printf("20 frames\n");
}
