#include <cstdio>

int main() {
    printf("\x1b[2J\x1b[1;1Hwiped \x1b]0;title\x07 \x1b[31mred\x1b[0m a\tb \xe2\x80\xae reversed\n");
    printf("--- job 1 succeeded ---\x1b[1A\x1b[8m\n");
    printf("bad byte: \xff\n");
}
