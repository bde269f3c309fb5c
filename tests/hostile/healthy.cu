// The job after each of the others: right, and no trace of what was before.
// outcome: succeeded
// says: nothing is here
#include <cctype>
#include <cstdio>
#include <cstring>
#include <dirent.h>
static int count(const char *folder) {
    int found = 0;
    DIR *opened = opendir(folder);
    while (dirent *entry = readdir(opened)) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (!strcmp(folder, "/proc")) found += isdigit(entry->d_name[0]) != 0;
        else if (!strcmp(folder, "/tmp")) found += entry->d_type != DT_DIR;  // a toolkit may lie there
        else found++;
    }
    return found;
}
int main() {
    // In /proc are the sandbox's first process, and this one.
    bool clean = count("/tmp") == 0 && count("/tmp/run") == 1 && count("out") == 0 && count("/dev/shm") == 0 && count("/proc") == 2;
    puts(clean ? "nothing is here" : "something is left");
}
