// outcome: compile_error
// says: include_itself.cu
#include __FILE__
int main() {}
