// outcome: succeeded
// says: opened 0
#include <cstdio>
#include <fcntl.h>
int main() {
    int opened = 0;
    for (const char *path : {"/proc/1/mem", "/proc/1/environ", "/proc/1/fd/3", "/proc/1/root/etc/shadow",
                             "/proc/kcore", "/proc/kmsg", "/dev/mem", "/dev/kvm"})
        if (open(path, O_RDONLY) >= 0) { opened++; puts(path); }
    for (const char *path : {"/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/1/oom_score_adj",
                             "/proc/sys/vm/drop_caches", "/proc/sys/user/max_user_namespaces", "/sys/fs/cgroup/x"})
        if (open(path, O_WRONLY | O_CREAT, 0600) >= 0) { opened++; puts(path); }
    printf("opened %d\n", opened);
}
