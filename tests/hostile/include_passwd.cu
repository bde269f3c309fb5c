// Files of the host that every user can read.
// outcome: compile_error
// says: passwd: No such file
#include "/etc/passwd"
#include "../../../../../etc/hostname"
int main() {}
