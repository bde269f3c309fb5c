// What the host has, and what others do on it: devices, networks, cgroups, interrupts, the driver's other GPUs.
// outcome: succeeded
// says: seen 0
#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>
static int seen;
static int entries(const char *folder, bool tell) {
    int count = 0;
    DIR *opened = opendir(folder);
    if (!opened) return 0;
    while (dirent *entry = readdir(opened))
        if (entry->d_name[0] != '.') { count++; if (tell) printf("%s/%s\n", folder, entry->d_name); }
    closedir(opened);
    return count;
}
int main() {
    char byte;
    for (const char *folder : {"/sys/class", "/sys/fs", "/sys/kernel", "/sys/block", "/sys/firmware", "/sys/power", "/sys/dev",
                               "/sys/devices/virtual", "/sys/devices/platform", "/sys/bus/usb", "/sys/bus/pci/drivers", "/proc/acpi",
                               "/proc/bus", "/proc/fs", "/proc/irq", "/proc/scsi", "/proc/asound", "/proc/pressure"})
        seen += entries(folder, true);
    for (const char *folder : {"/sys/bus/pci/devices", "/proc/driver/nvidia/gpus"})
        if (entries(folder, false) > 1) { seen++; entries(folder, true); }
    for (const char *path : {"/proc/interrupts", "/proc/softirqs", "/proc/keys", "/proc/key-users", "/proc/kallsyms", "/proc/kcore",
                             "/proc/timer_list", "/proc/vmstat", "/proc/zoneinfo", "/proc/buddyinfo", "/proc/schedstat", "/proc/sched_debug",
                             "/proc/latency_stats", "/proc/diskstats", "/proc/driver/rtc", "/sys/class/net/eth0/address"}) {
        int file = open(path, O_RDONLY);
        if (file >= 0 && read(file, &byte, 1) == 1) { seen++; puts(path); }
    }
    printf("seen %d\n", seen);
}
