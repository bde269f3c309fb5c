// outcome: compile_error
// says: No such file
#include "/etc/shadow"
int main() {}
