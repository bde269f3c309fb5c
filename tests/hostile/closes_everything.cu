// outcome: succeeded
#include <unistd.h>
int main() { for (int n = 0; n < 4096; n++) close(n); usleep(100000); }
