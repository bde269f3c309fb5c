/* Linked with every program: its standard output is line-buffered, as on a terminal. */
#include <stdio.h>

__attribute__((constructor(101))) static void line_buffer_stdout(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
}
