// Devices of its own, by hand or by nvidia-modprobe, which is setuid root; and what would lead the driver's library to try.
// outcome: succeeded
// says: made 0
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>
static int made;
static void check(const char *name, bool result) { if (result) { made++; puts(name); } }
int main() {
    for (const char *path : {"/dev/nvidia9", "/tmp/nvidia9", "/dev/shm/nvidia9", "out/nvidia9"})
        check(path, mknod(path, S_IFCHR | 0666, makedev(195, 9)) == 0);
    for (const char *path : {"/usr/bin/nvidia-modprobe", "/usr/sbin/nvidia-modprobe"}) {
        struct stat about;
        check(path, stat(path, &about) == 0 && (about.st_mode & S_ISUID));
        pid_t child = fork();
        if (child == 0) { execl(path, path, "-c", "9", "-u", nullptr); _exit(99); }
        int status;
        waitpid(child, &status, 0);
        check(path, WEXITSTATUS(status) != 99);
    }
    check("params", open("/proc/driver/nvidia/params", O_WRONLY) >= 0);
    check("unlink", unlink("/proc/driver/nvidia/params") == 0 || mkdir("/proc/driver/x", 0700) == 0);
    char line[128];
    if (FILE *params = fopen("/proc/driver/nvidia/params", "r"))
        while (fgets(line, sizeof line, params))
            check(line, !strncmp(line, "ModifyDeviceFiles:", 18) && atoi(line + 18) != 0);
    printf("made %d\n", made);
}
