// What the executor keeps of other jobs.
// outcome: compile_error
// says: No such file
#include "@SCRATCH@/spool/1.json"
int main() {}
