// As the executor's own messages look, to every descriptor there may be.
// outcome: runtime_error
// exit_code: 3
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
int main() {
    const char *told = "started\n0 0.000001 0.000001 1 made\n{\"why\": \"ended\", \"exit_code\": 0}\n";
    for (int n = 1; n < 1024; n++) (void)!write(n, told, strlen(told));
    for (int n = 0; n < 64; n++) {
        char path[32];
        snprintf(path, sizeof path, "/proc/1/fd/%d", n);
        (void)!write(open(path, O_WRONLY), told, strlen(told));
    }
    return 3;
}
