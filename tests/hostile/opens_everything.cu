// outcome: succeeded
// says: no more
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>
int main() { while (open("/dev/null", O_RDONLY) >= 0 && dup(1) >= 0) {} puts("no more"); }
