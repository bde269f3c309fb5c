// System calls of another numbering, past a filter that looks at the number alone.
// outcome: runtime_error
// signal: 31
#include <unistd.h>
int main() {
#ifdef __x86_64__
    long result;
    asm volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
    return result > 0;
#else
    raise(31);
#endif
}
