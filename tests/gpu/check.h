// For every program here. TRY ends the program with the call that failed and the error's name.
#pragma once
#include <cstdio>
#include <cstring>
#include <dirent.h>
#define TRY(call) do { cudaError_t e_ = (call); if (e_ != cudaSuccess) { printf("%s: %s: %s\n", #call, cudaGetErrorName(e_), cudaGetErrorString(e_)); return 1; } } while (0)

// A number of /proc/self/status, as it stands there; -1 if it does not.
inline long status_of_self(const char *name) {
    long found = -1;
    char line[256];
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':') sscanf(line + strlen(name) + 1, "%ld", &found);
    if (file) fclose(file);
    return found;
}

// The last line of a program that succeeded: what it did, and what it took of the host.
inline int report(const char *what) {
    int descriptors = -3;  // ".", ".." and the folder's own
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder)) descriptors++;
    if (folder) closedir(folder);
    printf("%s; peak RSS %ld MiB, %d descriptors, %ld threads\n", what, status_of_self("VmHWM") >> 10, descriptors, status_of_self("Threads"));
    return 0;
}
