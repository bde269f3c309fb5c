// outcome: succeeded
// says: read 0
#include <cstdio>
#include <dirent.h>
int main() {
    int seen = 0;
    for (const char *folder : {"@SCRATCH@", "@SCRATCH@/jobs", "/var", "/run", "/boot"})
        if (opendir(folder)) { seen++; puts(folder); }
    for (const char *file : {"@AUTH@", "/etc/passwd", "/etc/shadow", "/etc/hostname", "/proc/kmsg"})
        if (fopen(file, "r")) { seen++; puts(file); }
    printf("read %d\n", seen);
}
