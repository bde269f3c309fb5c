// A header without end.
// outcome: memory_exceeded compile_timeout
#include "/dev/zero"
int main() {}
