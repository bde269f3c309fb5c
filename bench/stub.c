/* The stub compiler and the stub program in one: called as `stub ... -o FILE ...` it "compiles"
   by making FILE another name of itself, and called without arguments it is the program.
   Each takes SECONDS, which is 0 where the queue's own time is measured. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct timespec whole = {(time_t)SECONDS, (long)((SECONDS - (time_t)SECONDS) * 1e9)};
    char self[4096];
    ssize_t length;
    if (argc > 1 && !strcmp(argv[1], "--version"))
        return puts("release 0.0, stub") < 0;
    nanosleep(&whole, NULL);
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], "-o")) {
            if ((length = readlink("/proc/self/exe", self, sizeof self - 1)) < 0)
                return 1;
            self[length] = 0;
            return symlink(self, argv[i + 1]) != 0;
        }
    return 0;
}
