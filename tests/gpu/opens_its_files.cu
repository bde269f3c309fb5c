// Opens each device file that it sees, and says whose rights it has; then waits to be looked at from outside,
// where groups have their real numbers.
// outcome: succeeded
// says: nvidiactl opened, nvidia-uvm opened, and one GPU
#include "check.h"
#include <cctype>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>
// Opens one; returns whether that went wrong. What controls an instance (MIG) is only ever read.
static int open_one(const char *folder, const char *name, int how) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, how | O_CLOEXEC);
    printf("%s %s%s\n", name, file < 0 ? "NOT opened: " : "opened", file < 0 ? strerror(errno) : "");
    if (file >= 0) close(file);
    return file < 0;
}
int main() {
    int wrong = 0, gpus = 0;
    if (DIR *dev = opendir("/dev")) {
        while (dirent *entry = readdir(dev)) {
            if (strncmp(entry->d_name, "nvidia", 6) || entry->d_type == DT_DIR) continue;
            wrong += open_one("/dev", entry->d_name, O_RDWR);
            gpus += isdigit((unsigned char)entry->d_name[6]) != 0;
        }
        closedir(dev);
    }
    if (DIR *caps = opendir("/dev/nvidia-caps")) {
        while (dirent *entry = readdir(caps))
            if (entry->d_name[0] != '.') wrong += open_one("/dev/nvidia-caps", entry->d_name, O_RDONLY);
        closedir(caps);
    }
    gid_t groups[256];
    int count = getgroups(256, groups);
    printf("uid %d, gid %d, %d more groups\n", (int)getuid(), (int)getgid(), count);
    fflush(stdout);
    sleep(3);
    if (wrong || gpus != 1) { printf("%d files cannot be opened; %d GPUs\n", wrong, gpus); return 1; }
    return report("all were opened, and one GPU");
}
