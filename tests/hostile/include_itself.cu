// outcome: compile_error
// says: nest
#include __FILE__
int main() {}
