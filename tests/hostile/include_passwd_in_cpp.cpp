// outcome: compile_error
// says: passwd: No such file
#include "/etc/passwd"
#include "/proc/1/environ"
int main() {}
