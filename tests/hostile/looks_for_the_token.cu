// In the environment, arguments and memory of every process, and in what the shell can find.
// outcome: succeeded
// says: searched
#include <cstdlib>
int main() {
    system("env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n';"
           "find / -xdev -path /proc -prune -o -name 'auth*.json' -print 2>/dev/null;"
           "grep -rs tlre_ /etc /tmp /job /dev/shm /proc/1/environ; echo searched");
}
