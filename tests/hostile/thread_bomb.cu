// outcome: runtime_timeout
#include <pthread.h>
#include <unistd.h>
static void *wait(void *) { for (;;) pause(); }
int main() { pthread_t one; for (;;) pthread_create(&one, 0, wait, 0); }
